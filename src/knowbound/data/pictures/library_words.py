"""What Pillow and the C libraries below it say while a picture is decoded, kept for the one who
knows the file's name."""

import ctypes
import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import PIL

KEPT = 3
"""Lines that are kept of one picture; a broken fax has thousands."""
LINE = 500
"""Characters of a line that are kept."""


class _Heard(threading.local):
    """The lines that are kept in this thread, or None outside every block."""

    lines: list[str] | None = None


_heard = _Heard()
_lock = threading.Lock()
_listeners = 0
_rule: list[object] = []


def overheard() -> AbstractContextManager[list[str]]:
    """The first lines that are said in this thread inside the block, while none is shown.

    Pillow's warnings and log records come from Python.  Of the C libraries only libtiff speaks, on
    the process's standard error; its handler of errors is replaced, so that each line arrives in
    the thread that decodes.  Where Pillow carries libtiff inside itself (on Windows) there is no
    handler to replace, and its lines go where they went.
    """
    return _Overheard()


@contextmanager
def silenced() -> Iterator[None]:
    """No warning of Pillow inside the block: around many pictures, so that the rule is not made for
    each.

    Not ``warnings.catch_warnings``: it puts back a whole list at its end, so that threads would
    undo each other's.
    """
    _silence()
    try:
        yield
    finally:
        _end_silence()


class _Overheard:
    """A class, since a generator takes three times as long to enter, and small pictures are
    many."""

    def __enter__(self) -> list[str]:
        self.before = _heard.lines
        lines: list[str] = []
        _heard.lines = lines
        _silence()
        return lines

    def __exit__(self, *_: object) -> None:
        _heard.lines = self.before
        _end_silence()


def listen_to_libtiff() -> None:
    """Replace libtiff's handler of errors, once for the process, before the first TIFF."""
    _replace_handler()


def _keep(line: str) -> None:
    lines = _heard.lines
    if lines is not None and len(lines) < KEPT:
        lines.append(line.strip())


class _Ear(logging.Handler):
    """Keeps Pillow's log records; that it is there stops Python from printing them."""

    def emit(self, record: logging.LogRecord) -> None:
        _keep(record.getMessage())


logging.getLogger("PIL").addHandler(_Ear(logging.WARNING))


@cache
def _replace_handler() -> Any:
    """The handler that libtiff was given, to be kept alive; None where there is no libtiff to
    give it to."""
    library = _libtiff()
    if library is None:
        return None
    handler_type = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p)
    write = ctypes.CDLL(None).vsnprintf
    write.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_void_p]

    def handle(module: bytes | None, words: bytes | None, values: int | None) -> None:
        lines = _heard.lines
        if lines is None or len(lines) >= KEPT or words is None:
            return
        line = ctypes.create_string_buffer(LINE)
        write(line, LINE, words, values)
        _keep(b": ".join(filter(None, [module, line.value])).decode("utf-8", "replace"))

    handler = handler_type(handle)
    library.TIFFSetErrorHandler(handler)
    library.TIFFSetWarningHandler(None)
    return handler


def _libtiff() -> ctypes.CDLL | None:
    """The very libtiff that Pillow has loaded, or None where it cannot be had by itself."""
    for path in _loaded_libraries():
        try:
            library = ctypes.CDLL(path)
            library.TIFFSetErrorHandler.argtypes = [ctypes.c_void_p]
            library.TIFFSetWarningHandler.argtypes = [ctypes.c_void_p]
        except (OSError, AttributeError):
            continue
        return library
    return None


def _loaded_libraries() -> Iterator[str]:
    """Paths of libtiff: what this process has mapped, and what came with Pillow."""
    try:
        for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines():
            if "libtiff" in line:
                yield line.split(maxsplit=5)[-1]
                return
    except OSError:
        pass
    folder = Path(PIL.__file__).parent
    for place in (folder / ".dylibs", folder.parent / "pillow.libs", folder.parent / "Pillow.libs"):
        yield from map(str, sorted(place.glob("libtiff*")))


def _silence() -> None:
    """No warning of Pillow from here on, until as many ``_end_silence`` have been called."""
    global _listeners
    with _lock:
        _listeners += 1
        if _listeners == 1:
            warnings.filterwarnings("ignore", module=r"PIL\.")
            _rule.append(warnings.filters[0])


def _end_silence() -> None:
    global _listeners
    with _lock:
        _listeners -= 1
        if _listeners == 0:
            rule = _rule.pop()
            if rule in warnings.filters:
                warnings.filters.remove(rule)  # type: ignore[attr-defined]
