"""Figures that say how good a trained model is, over music it has not seen."""
