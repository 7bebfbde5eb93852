"""Settings: the file, the flags, and errors that say what was meant."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest

from bridge.commands import jam
from bridge.config import ConfigError, declared_settings, read_config
from bridge.config_text import settings_toml
from bridge.setting import CcBinding


def written(folder: Path, text: str) -> Path:
    path = folder / "jam.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_without_a_file_all_is_as_documented() -> None:
    config = read_config(None, {})
    assert config.model.source == "pocket"
    assert config.output.output == "device"
    assert config.scene.bpm == 120
    network = config.network
    ports = (network.osc_port, network.zmq_port, network.pub_port, network.http_port)
    assert ports == (9120, 9121, 9122, 9123)
    assert not network.allow_lan


def test_the_file_wins_over_defaults_and_flags_over_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, '[scene]\nbpm = 90\nprompt = "dub"\n[network]\nosc_port = 7000\n')
    config = read_config(path, {"scene.bpm": 140.0, "scene.prompt": None, "output.output": "null"})
    assert config.scene.bpm == 140
    assert config.scene.prompt == "dub"
    assert config.network.osc_port == 7000
    assert config.output.output == "null"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[netwrk]\n", "unknown section 'netwrk': did you mean 'network'?"),
        ("[network]\nosc_prot = 1\n", "[network]: unknown key 'osc_prot': did you mean 'osc_port'"),
        ("[network]\nosc_port = 65536\n", "osc_port is 65536: expected a whole number from 0 to"),
        ("[network]\nosc_port = true\n", "osc_port is True: expected a whole number"),
        ("[scene]\nbpm = nan\n", "bpm is nan: expected a number from 20 to 999"),
        ('[scene]\nbpm = "fast"\n', "bpm is 'fast': expected a number from 20 to 999"),
        ('[scene]\nprompt = "a\\u0007b"\n', "prompt is 'a\\x07b': expected text"),
        ('[output]\noutput = "jak"\n', "expected one of device, jack, null, none, or wav:FILE"),
        ('[output]\noutput = "wav:"\n', "wav:FILE"),
        ('[model]\nweights = "int9"\n', "did you mean 'int8'?"),
        ("model = 3\n", "model is 3: expected a table [model]"),
        ("[midi.cc]\n128 = 'cfg'\n", "controller '128': expected 0 to 119"),
        ("[midi.cc]\n1 = { param = 'cfg', top = 3 }\n", "controller 1: unknown key 'top'"),
        ("[midi.cc]\n1 = 5\n", "controller 1 is 5: expected a parameter's name"),
        ("[scene]\ncommands = [['x', 1], []]\n", "expected a command such as"),
        ("[scene]\nparams = { cfg = 'high' }\n", "cfg is 'high': expected a number"),
        ("[[[\n", "not valid TOML"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, expected: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        read_config(path, {})
    assert str(path) in str(caught.value)
    assert expected in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml: cannot be read"):
        read_config(tmp_path / "none.toml", {})


def test_controllers_scene_and_paths(tmp_path: Path) -> None:
    text = (
        '[midi]\ninputs = "Keystation"\n'
        '[midi.cc]\n74 = "cfg"\n1 = { param = "temperature", low = 1, high = 1.2 }\n'
        '[scene]\ncommands = [["/mgrt/attr/set", "drums", "off"]]\nparams = { cfg = 4 }\n'
        '[folders]\ndata = "~/takes"\n'
    )
    config = read_config(written(tmp_path, text), {})
    assert config.midi.inputs == ("Keystation",)
    assert config.midi.cc == (CcBinding(74, "cfg"), CcBinding(1, "temperature", 1.0, 1.2))
    assert config.scene.commands == (("/mgrt/attr/set", "drums", "off"),)
    assert dict(config.scene.params) == {"cfg": 4.0}
    assert config.folders.data == Path.home() / "takes"


def test_every_setting_has_words_and_defaults_that_pass_their_own_check() -> None:
    settings = list(declared_settings())
    assert all(declared.setting.doc for declared in settings)
    flags = {one.name: one.default for one in settings if one.setting.parse is None}
    assert read_config(None, flags) == read_config(None, {})


def test_the_printed_settings_are_a_file_of_the_defaults(tmp_path: Path) -> None:
    text = settings_toml()
    assert read_config(written(tmp_path, text), {}) == read_config(None, {})
    # With each value put in force it still is what it was.
    lines = [
        line.removeprefix("# ") if re.match(r"# \w+ = (?!\.\.\.)", line) else line
        for line in text.splitlines()
    ]
    in_force = "\n".join(lines)
    assert in_force.count("\nosc_port = 9120") == 1
    assert read_config(written(tmp_path, in_force), {}) == read_config(None, {})


def test_flags_of_jam_reach_the_settings() -> None:
    parser = argparse.ArgumentParser()
    jam.add_arguments(parser)
    line = "--model x/y --output wav:a.wav --device USB --osc-port 0 --no-view --bpm 99 --pcm"
    args = parser.parse_args(line.split())
    config = read_config(args.config, {k: v for k, v in vars(args).items() if "." in k})
    assert config.model.source == "x/y"
    assert (config.output.output, config.output.device) == ("wav:a.wav", "USB")
    assert config.network.osc_port == 0
    assert config.scene.bpm == 99
    assert config.output.pcm
    assert not config.log.view
    assert config.midi.is_on  # not given: the default


def test_a_wrong_setting_ends_jam_with_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    jam.add_arguments(parser)
    assert jam.run(parser.parse_args(["--bpm", "5"])) == 2
    error = capsys.readouterr().err
    assert error == "musicgen-rt: error: --bpm is 5.0: expected a number from 20 to 999\n"
