"""Drum patterns that several styles share; the letters are explained in `style.DrumHabits`."""

FOUR_FLOOR = ("X...X...X...X...", "X...X...X...X..?", "X...X...X...X.?.", "X...X...X..xX...")
WALTZ_KICKS = ("X...........", "X.....?.....", "X.......x...", "X..x....x...")
WALTZ_BACKS = ("....x...x...", "........X...", "....X...X...", "....x...x.o.")
WALTZ_ROCK_BACKS = ("........X...", "....X...x...", "....o...X...")
