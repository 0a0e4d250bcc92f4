# SPDX-License-Identifier: MIT
"""Calls of the C library: errors become exceptions, memory has an owner, Ctrl-C works."""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading
import warnings
from typing import Any, Callable

from ._lbw import ffi, lib


class Error(Exception):
    """A failure, in one line that names the object."""


class OutOfMemoryError(Error, MemoryError):
    """An allocation failed."""


class FileError(Error, OSError):
    """Opening, reading or writing a file failed."""


class FormatError(Error, ValueError):
    """Malformed input."""


class ArgumentError(Error, ValueError):
    """An invalid option or argument."""


class UnsupportedError(Error, NotImplementedError):
    """Valid, but beyond what lbw can do."""


class OnnxRuntimeError(Error, RuntimeError):
    """No ONNX Runtime was found, or it refused the model or failed."""


class Interrupted(Error):
    """The library was asked to stop."""


_ERRORS: dict[int, type[Error]] = {
    lib.LBW_ERR_MEMORY: OutOfMemoryError,
    lib.LBW_ERR_IO: FileError,
    lib.LBW_ERR_FORMAT: FormatError,
    lib.LBW_ERR_ARGUMENT: ArgumentError,
    lib.LBW_ERR_UNSUPPORTED: UnsupportedError,
    lib.LBW_ERR_RUNTIME: OnnxRuntimeError,
    lib.LBW_ERR_INTERRUPTED: Interrupted,
}

Progress = Callable[[str, int, int], object]


def text(value: Any) -> str:
    """A string of the library; bytes that are not UTF-8 become U+FFFD."""
    return "" if value == ffi.NULL else ffi.string(value).decode("utf-8", "replace")


def warn(line: str) -> None:
    """A UserWarning at the line that called this package."""
    level = 1
    while sys._getframe(level).f_globals.get("__package__") == __package__:
        level += 1
    warnings.warn(line, stacklevel=level + 1)


class _Bar:
    """A tqdm progress bar; without tqdm, nothing."""

    def __init__(self) -> None:
        try:
            from tqdm.auto import tqdm  # type: ignore[import-untyped,unused-ignore]
        except ImportError:
            self._make = None
        else:
            self._make = tqdm
        self._bar: Any = None

    def __call__(self, what: str, done: int, total: int) -> None:
        if self._make is None:
            return
        if self._bar is None:
            self._bar = self._make(total=total, leave=False)
        self._bar.total = total
        self._bar.set_description(what, refresh=False)
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


class Call(contextlib.ExitStack):
    """One call of this package, which may be several of the library.

    Opened handles are closed in reverse order when it ends. The library runs in a thread of its
    own while the caller's thread waits: that one runs the callbacks, so that they may raise, and
    stays open to Ctrl-C.
    """

    def __init__(self, progress: Progress | bool | None = None) -> None:
        super().__init__()
        self._error = ffi.new("struct lbw_error *")
        self._kept: list[Any] = []
        self._requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._raised: BaseException | None = None
        self.handle = ffi.new_handle(self)
        self.handlers: dict[str, Callable[..., Any]] = {}
        if progress is True:
            bar = _Bar()
            self.callback(bar.close)
            progress = bar
        self.progress: Progress | None = progress or None

    # --- memory --------------------------------------------------------------------------------

    def keep(self, value: Any) -> Any:
        """`value`, which lives as long as this call."""
        self._kept.append(value)
        return value

    def new(self, ctype: str, *init: Any) -> Any:
        return self.keep(ffi.new(ctype, *init))

    def string(self, value: Any) -> Any:
        """char * of a str, of bytes or of a path; NULL of None."""
        if value is None:
            return ffi.NULL
        raw = os.fsencode(value)
        if b"\0" in raw:
            raise ArgumentError(f"{value!r}: holds a zero byte")
        return self.new("char[]", raw)

    def strings(self, values: Any) -> Any:
        return self.new("char *[]", [self.string(v) for v in values])

    # --- calls ---------------------------------------------------------------------------------

    def check(self, status: int) -> None:
        if self._raised is not None:
            raised, self._raised = self._raised, None
            raise raised
        if status != lib.LBW_OK:
            raise _ERRORS.get(status, Error)(text(self._error.message))

    def do(self, function: Callable[..., int], *args: Any) -> None:
        """A short call: it runs here."""
        self.check(function(*args, self._error))

    def open(self, ctype: str, close: Callable[..., Any], function: Any, *args: Any) -> Any:
        """A handle that `function` opens and `close` closes."""
        out = ffi.new(ctype + " **")
        self.callback(close, out)
        self.run(function, out, *args)
        return out[0]

    def run(self, function: Callable[..., int], *args: Any) -> None:
        """A long call: it runs in a thread, its callbacks here."""
        status: list[int] = []

        def work() -> None:
            status.append(function(*args, self._error))
            self._requests.put(None)

        thread = threading.Thread(target=work, name="lbw", daemon=True)
        thread.start()
        while True:
            try:
                request = self._requests.get()
                if request is None:
                    break
                self._answer(*request)
            except BaseException as raised:  # Ctrl-C, which may come at any point
                self._raised = self._raised or raised
        thread.join()
        self.check(status[0])

    def _answer(self, handler: Callable[..., Any], args: Any, reply: Any) -> None:
        result = None
        try:
            result = handler(*args)
        except BaseException as raised:
            self._raised = self._raised or raised
        finally:
            reply.put(result)

    def ask(self, name: str, *args: Any) -> Any:
        """Runs a handler in the caller's thread; called by callbacks, in any thread."""
        handler = self.handlers.get(name)
        if handler is None or self._raised is not None:
            return None
        reply: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._requests.put((handler, args, reply))
        while True:
            try:
                return reply.get(timeout=0.2)
            except queue.Empty:
                if self._raised is not None:  # Ctrl-C came before the handler began
                    return None

    @property
    def is_stopped(self) -> bool:
        return self._raised is not None


def _call(user: Any) -> Call:
    call: Call = ffi.from_handle(user)
    return call


@ffi.def_extern(error=1)
def on_progress(user: Any, what: Any, done: int, total: int) -> int:
    call = _call(user)
    if call.progress is not None:
        call.handlers["progress"] = call.progress
        call.ask("progress", text(what), done, total)
    return call.is_stopped


@ffi.def_extern(error=1)
def on_step(user: Any, status: Any) -> int:
    call = _call(user)
    call.ask("step", status)
    return call.is_stopped


@ffi.def_extern()
def on_trial(user: Any, trial: Any) -> None:
    _call(user).ask("trial", trial)


@ffi.def_extern()
def on_note(user: Any, note: Any) -> None:
    _call(user).ask("note", text(note))


@ffi.def_extern(error=lib.LBW_ERR_INTERRUPTED)
def on_sample(user: Any, i: int, arrays: Any, num: Any, error: Any) -> int:
    views = _call(user).ask("sample", i)
    if views is None:
        return int(lib.LBW_ERR_INTERRUPTED)
    arrays[0], num[0] = views
    return int(lib.LBW_OK)
