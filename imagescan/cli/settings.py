"""From the words given, the environment and the configuration file to one frozen ``Settings``.

Option > environment > file > default. Nothing wrong is passed over: an unknown key or a word that
is not allowed is an error that names its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagescan.cli.arguments import suggestion
from imagescan.cli.options import FORMATS, OPTIONS, Kind, Option
from imagescan.errors import UsageError

if TYPE_CHECKING:
    from imagescan.rules.waivers import Waiver

CONFIGURATION_FILE = ".imagescan.yaml"
MAXIMUM_CONFIGURATION = 1 << 20  # bytes; a larger file is not a configuration
WAIVERS = "waivers"  # the one key of the file that is no option
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off", "")

Value = str | bool | tuple[str, ...] | tuple["Waiver", ...]


@dataclass(frozen=True, slots=True)
class Output:
    """One report to write: ``file`` None is standard output."""

    format: str
    file: Path | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """Every wish of the user, decided. ``fail_on`` is a severity or ``never``."""

    platform: str | None = None
    outputs: tuple[Output, ...] = (Output("table"),)
    fail_on: str = "error"
    allow_incomplete: bool = False
    baseline: Path | None = None
    show_waived: bool = False
    waivers: tuple[Waiver, ...] = ()
    rules: tuple[Path, ...] = ()
    cpu: str | None = None
    insecure: bool = False
    closure: bool = False
    trail: bool = False
    into: Path | None = None
    quiet: bool = False
    verbose: bool = False
    no_progress: bool = False


def settle(given: Mapping[str, Any], environment: Mapping[str, str], directory: Path) -> Settings:
    """Decide every setting. ``given`` are the options of the command line by key, None where absent.

    Raises:
        UsageError: a value that is not allowed, or a configuration file that is wrong.
    """
    from_command_line = {key: _tuple(value) for key, value in given.items() if value is not None}
    from_environment = _from_environment(environment)
    named = from_command_line.get("config", from_environment.get("config"))
    if isinstance(named, str):
        from_file = read_file(directory / named)
    elif (directory / CONFIGURATION_FILE).exists():
        from_file = read_file(directory / CONFIGURATION_FILE)
    else:
        from_file = {}
    merged = _merged(from_file, from_environment, from_command_line)
    _check_choices(merged)
    merged.pop("config", None)
    if "output" in merged:
        merged["outputs"] = _outputs(merged.pop("output"), directory)
    for option in OPTIONS:
        if option.is_path and option.key in merged:
            value = merged[option.key]
            paths = tuple(directory / path for path in ((value,) if isinstance(value, str) else value))
            merged[option.key] = paths if option.kind is Kind.LIST else paths[0]
    names = Settings.__dataclass_fields__
    return Settings(**{key: value for key, value in merged.items() if key in names})


def _merged(*layers: Mapping[str, Value]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for layer in layers:
        if layer.get("quiet") and layer.get("verbose"):
            raise UsageError("quiet and verbose exclude each other", advice="say one of -q and -v")
        if layer.get("quiet") or layer.get("verbose"):  # either overrides the other from below
            merged.update(quiet=False, verbose=False)
        merged.update(layer)
    return merged


def _tuple(value: Value | list[str]) -> Value:
    return tuple(value) if isinstance(value, list) else value


def _from_environment(environment: Mapping[str, str]) -> dict[str, Value]:
    values: dict[str, Value] = {}
    for option in OPTIONS:
        text = environment.get(option.variable)
        if text is None or (text == "" and option.kind is not Kind.SWITCH):
            continue
        if option.kind is Kind.SWITCH:
            values[option.key] = _switch(text, option.variable)
        elif option.kind is Kind.LIST:
            values[option.key] = tuple(part.strip() for part in text.split(",") if part.strip())
        else:
            values[option.key] = text
    return values


def _switch(text: str, where: str) -> bool:
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise UsageError(f"neither true nor false: {text!r}", where=where, advice="say 1 or 0")


def read_file(file: Path) -> dict[str, Value]:
    """The settings of a configuration file, by key. Relative paths in it are relative to it.

    Raises:
        UsageError: the file cannot be read or is no YAML mapping; a key is unknown or stands
            twice; a value is of the wrong kind. The message has the line and column.
    """
    root = _compose(file)
    values: dict[str, Value] = {}
    known = {option.name: option for option in OPTIONS if option.in_file}
    for key_node, value_node in root.value if root else ():
        name = str(key_node.value)
        key = known[name].key if name in known else name
        if key in values:
            raise UsageError(f"{name} stands twice", where=position(file, key_node))
        if name in known:
            values[key] = _file_value(known[name], value_node, file)
        elif name == WAIVERS:
            from imagescan.cli.waiver_entries import read_waivers

            values[key] = read_waivers(value_node, file)
        else:
            words = (*known, WAIVERS)
            advice = suggestion(name, words, f"known are {', '.join(words)}")
            raise UsageError(f"unknown setting {name[:60]!r}", where=position(file, key_node), advice=advice)
    return values


def _compose(file: Path) -> Any:  # noqa: ANN401 - yaml.MappingNode, None for an empty file
    import yaml

    try:
        content = file.read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(f"cannot read the configuration: {reason}", where=str(file)) from error
    if len(content) > MAXIMUM_CONFIGURATION:
        raise UsageError(f"larger than {MAXIMUM_CONFIGURATION} bytes", where=str(file))
    try:
        root = yaml.compose(content, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError) as error:
        raise _not_yaml(error, file) from error
    if root is not None and not isinstance(root, yaml.MappingNode):
        raise UsageError("not a mapping of settings", where=position(file, root))
    return root


def _file_value(option: Option, node: Any, file: Path) -> Value:  # noqa: ANN401 - yaml.Node
    import yaml

    where = position(file, node)
    if option.kind is Kind.LIST:
        items = node.value if isinstance(node, yaml.SequenceNode) else [node]
        if not all(isinstance(item, yaml.ScalarNode) for item in items):
            raise UsageError(f"{option.name} is a list of words", where=where)
        texts = tuple(str(item.value) for item in items)
        return tuple(str(file.parent / text) for text in texts) if option.is_path else texts
    if not isinstance(node, yaml.ScalarNode):
        raise UsageError(f"{option.name} is one word", where=where)
    if option.kind is Kind.SWITCH:
        return _switch(str(node.value), where)
    if option.choices and node.value not in option.choices:
        raise _not_allowed(option, str(node.value), where)
    return str(file.parent / node.value) if option.is_path else str(node.value)


def position(file: Path, node: Any) -> str:  # noqa: ANN401 - yaml.Node
    """``file:line:column`` of a YAML node, as editors count."""
    return f"{file}:{node.start_mark.line + 1}:{node.start_mark.column + 1}"


def _not_yaml(error: Exception, file: Path) -> UsageError:
    mark = getattr(error, "problem_mark", None)
    where = f"{file}:{mark.line + 1}:{mark.column + 1}" if mark else str(file)
    problem = getattr(error, "problem", None) or "cannot be understood"
    return UsageError(f"not YAML: {problem}", where=where)


def _check_choices(values: Mapping[str, Any]) -> None:
    for option in OPTIONS:
        value = values.get(option.key)
        if option.choices and value is not None and value not in option.choices:
            raise _not_allowed(option, str(value), f"--{option.name}")


def _not_allowed(option: Option, value: str, where: str) -> UsageError:
    otherwise = f"say one of {', '.join(option.choices)}"
    advice = suggestion(value, option.choices, otherwise)
    return UsageError(f"no such {option.name}: {value!r}", where=where, advice=advice)


def _outputs(wishes: tuple[str, ...], directory: Path) -> tuple[Output, ...]:
    outputs = []
    for wish in wishes:
        name, equals, file = wish.partition("=")
        if name not in FORMATS:
            advice = suggestion(name, FORMATS, f"say one of {', '.join(FORMATS)}")
            raise UsageError(f"no such format: {name!r}", where="--output", advice=advice)
        if equals and not file:
            raise UsageError("no file named after the =", where=f"--output {wish}")
        path = directory / file if file not in ("", "-") else None
        if path is not None and not path.parent.is_dir():
            raise UsageError("no such directory", where=str(path.parent), advice="make it first")
        outputs.append(Output(name, path))
    to_terminal = sum(output.file is None for output in outputs)
    if to_terminal > 1:
        raise UsageError(
            "two formats cannot both go to standard output", where="--output", advice="say FORMAT=FILE"
        )
    return tuple(outputs)
