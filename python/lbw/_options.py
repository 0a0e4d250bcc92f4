# SPDX-License-Identifier: MIT
"""From Python's arguments to the library's structs: models, grids, images, samples."""

from __future__ import annotations

import importlib.util
import json
import os
import tempfile
from typing import TYPE_CHECKING, Any, Callable, Iterable, Mapping, SupportsBytes, Union

from ._call import ArgumentError, Call, text
from ._lbw import ffi, lib

if TYPE_CHECKING:
    import onnx

Path = Union[str, "os.PathLike[str]"]
# SupportsBytes: what an earlier call returned
Model = Union[Path, bytes, bytearray, memoryview, SupportsBytes, "onnx.ModelProto"]
Bits = Union[int, str, Mapping[str, Union[int, str, None]]]
Array = Any  # whatever numpy.asarray() takes
Samples = Union[Path, Array, Mapping[str, Array], Iterable[Union[Array, Mapping[str, Array]]]]

# --- options that are members of a struct ------------------------------------------------------


def _names(function: Callable[[int], Any]) -> dict[str, int]:
    """The choices of an enum: the library names them, and NULL comes after the last."""
    names: dict[str, int] = {}
    while function(len(names)) != ffi.NULL:
        names[text(function(len(names)))] = len(names)
    return names


def choice(names: dict[str, int]) -> Callable[[str, Any, Call], int]:
    def convert(option: str, value: Any, call: Call) -> int:
        if value not in names:
            raise ArgumentError(f"{option}: expected one of {', '.join(names)}, not {value!r}")
        return names[value]

    return convert


def number(option: str, value: Any, call: Call) -> Any:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ArgumentError(f"{option}: expected a number, not {value!r}")
    if value < 0:
        raise ArgumentError(f"{option}: {value} is below 0")
    return value


def share(option: str, value: Any, call: Call) -> float:
    """0.98 of 0.98, or of "98%"."""
    return share_of(option, value)


def share_of(option: str, value: Any) -> float:
    try:
        part = float(value[:-1]) / 100 if str(value).endswith("%") else float(value)
    except (TypeError, ValueError):
        part = 0
    if not 0 < part <= 1:
        raise ArgumentError(f"{option}: {value!r} is not a share such as 0.98 or '98%'")
    return part


def flag(option: str, value: Any, call: Call) -> bool:
    return bool(value)


def unless(option: str, value: Any, call: Call) -> bool:
    return not value


def string(option: str, value: Any, call: Call) -> Any:
    return call.string(value)


def _encoding_name(encoding: int) -> Any:
    info = lib.lbw_encoding_info(encoding)
    return info.name if info != ffi.NULL else ffi.NULL


ENCODINGS = _names(_encoding_name)
TARGETS = _names(lib.lbw_target_name)
ACTIVATIONS = _names(lib.lbw_activations_name)
METHODS = _names(lib.lbw_method_name)
SCALES = _names(lib.lbw_scale_name)
OPTIMIZERS = _names(lib.lbw_optimizer_name)

# Option → (member, how its value is converted). A new member of a struct is one line here and
# one argument of the function.
Table = Mapping[str, "tuple[str, Callable[[str, Any, Call], Any]]"]
PREPARE: Table = {
    "ops": ("ops", string),
    "keep_batchnorm": ("keep_batchnorm", flag),
    "requantize": ("requantize", flag),
    "activations": ("activations", choice(ACTIVATIONS)),
}
PLAN: Table = {
    "ops": ("ops", string),
    "method": ("method", choice(METHODS)),
    "scale": ("scale", choice(SCALES)),
    "mu": ("mu", number),
    "all_weights": ("all", flag),
    "activations": ("activations", choice(ACTIVATIONS)),
    "range_power": ("range_power", number),
    "memory": ("memory", number),
}
ENCODE: Table = {
    "encoding": ("encoding", choice(ENCODINGS)),
    "inline": ("inline_nodes", flag),
    "target": ("target", choice(TARGETS)),
}
EXTERNAL: Table = {
    "external_data": ("file", string),
    "external_threshold": ("threshold", number),
    "external_alignment": ("alignment", number),
}
CALIBRATE: Table = {
    "num_samples": ("num_samples", number),
    "seed": ("seed", number),
    "memory": ("memory", number),
    "independent": ("independent", flag),
}
BUDGET: Table = {
    "bpw": ("bits", number),
    "target_size": ("size", number),
}
CONVERT: Table = {
    "damping": ("damping", number),
    "state": ("state", string),
}
COMPARE: Table = {
    "num_samples": ("num_samples", number),
    "seed": ("seed", number),
    "threads": ("num_threads", number),
    "native": ("no_native", unless),
}
BENCH: Table = {
    "seconds": ("seconds", number),
    "runs": ("num_runs", number),
    "threads": ("num_threads", number),
    "native": ("no_native", unless),
}
EVALUATE: Table = {
    "reference_score": ("reference_score", number),
    "reference_nms": ("reference_nms", number),
    "threads": ("num_threads", number),
    "native": ("no_native", unless),
}
BOXES: Table = {
    "score": ("score", number),
    "nms": ("nms", number),
}
SEARCH: Table = {
    "target_size": ("target_size", number),
    "target_bpw": ("target_bits", number),
    "keep": ("keep", share),
    "trials": ("max_trials", number),
    "plan": ("plan_file", string),
    "damping": ("damping", number),
}
TUNE: Table = {
    "num_samples": ("num_samples", number),
    "seed": ("seed", number),
    "steps": ("num_steps", number),
    "minutes": ("minutes", number),
    "batch": ("batch", number),
    "views": ("num_views", number),
    "rate": ("rate", number),
    "optimizer": ("optimizer", choice(OPTIMIZERS)),
    "taps": ("num_taps", number),
    "tap_weight": ("tap_weight", number),
    "checkpoint": ("checkpoint", string),
}


def fill(struct: Any, table: Table, values: Mapping[str, Any], call: Call) -> None:
    """Sets the members that `values` has; None leaves the library's default."""
    for option, (member, convert) in table.items():
        value = values.get(option)
        if value is None:
            continue
        try:
            setattr(struct, member, convert(option, value, call))
        except (TypeError, OverflowError) as error:
            raise ArgumentError(f"{option}: {value!r}: {error}") from None


# --- grids -------------------------------------------------------------------------------------


def grid(bits: Any) -> Any:
    """The grid that 4 or "4x2" names."""
    found = lib.lbw_grid_by_name(str(bits).encode())
    if found == ffi.NULL:
        raise ArgumentError(f"bits: unknown grid '{bits}': use 2 to 6 or a name from lbw.grids()")
    return found


def is_auto(bits: Bits) -> bool:
    """Whether bits="auto" applies to the weights that no expression names."""
    return (bits.get("", "auto") if isinstance(bits, Mapping) else bits) == "auto"


def prepare_params(call: Call, values: Any) -> Any:
    params = call.new("struct lbw_prepare_params *")
    fill(params, PREPARE, values, call)
    return params


def plan_params(call: Call, values: Mapping[str, Any]) -> Any:
    """struct lbw_plan_params. `bits` is a grid, or maps regular expressions to grids; None
    leaves what it matches alone; "" is all."""
    params = call.new("struct lbw_plan_params *")
    fill(params, PLAN, values, call)
    skip = values["skip"]
    bits = values["bits"] if isinstance(values["bits"], Mapping) else {"": values["bits"]}
    params.group = lib.LBW_GROUP_CHANNEL if values["per_channel"] else lib.LBW_GROUP_TENSOR
    rules: list[tuple[Any, Any]] = []
    for regex, value in bits.items():
        if regex == "" and value is not None:
            params.grid = ffi.NULL if value == "auto" else grid(value)
        else:
            rules.append((call.string(regex), ffi.NULL if value is None else grid(value)))
    skips = [skip] if isinstance(skip, str) else skip
    rules += [(call.string(regex), ffi.NULL) for regex in skips]
    params.rules = call.new("struct lbw_plan_rule[]", rules)
    params.num_rules = len(rules)
    kept = values.get("float_activations") or ()
    regexes = [kept] if isinstance(kept, str) else list(kept)
    if regexes and values.get("activations") in (None, "float"):
        raise ArgumentError('float_activations: needs activations="int8"')
    if values.get("range_power") and values.get("activations") in (None, "float"):
        raise ArgumentError('range_power: needs activations="int8"')
    params.float_activations = call.strings(regexes)
    params.num_float_activations = len(regexes)
    return params


def check_encoding(values: Mapping[str, Any]) -> None:
    """Refuses options that would be ignored."""
    encoding = values["encoding"] or next(iter(ENCODINGS))
    if encoding not in ENCODINGS:
        return  # fill() names them all
    info = lib.lbw_encoding_info(ENCODINGS[encoding])
    is_int8 = values.get("activations") not in (None, "float")
    if values["inline"] and not info.takes_inline:
        raise ArgumentError(f"inline: cannot be combined with encoding {encoding!r}")
    if values["target"] not in (None, next(iter(TARGETS))) and not (info.takes_target or is_int8):
        raise ArgumentError(f"target: cannot be combined with encoding {encoding!r}")
    if is_int8 and encoding == "float":
        raise ArgumentError("activations: int8 cannot be combined with encoding 'float'")


# --- models ------------------------------------------------------------------------------------


def is_proto(model: Any) -> bool:
    return hasattr(model, "SerializeToString")


def model_bytes(model: Any) -> bytes | None:
    """The bytes of a model in memory, None of a path."""
    if isinstance(model, (bytes, bytearray, memoryview)):
        return bytes(model)
    if is_proto(model):
        return bytes(model.SerializeToString())
    if isinstance(model, (str, os.PathLike)):
        return None
    if hasattr(model, "__bytes__"):  # what quantize() returned
        return bytes(model)
    raise ArgumentError(f"model: expected a path, bytes or an onnx.ModelProto, not {model!r}")


def open_model(call: Call, model: Model) -> Any:
    """struct lbw_model *"""
    data = model_bytes(model)
    if data is None:
        return call.open("struct lbw_model", lib.lbw_model_close, lib.lbw_model_open,
                         call.string(model))
    return call.open("struct lbw_model", lib.lbw_model_close, lib.lbw_model_open_memory,
                     ffi.from_buffer(data), len(data))


def model_name(model: Model) -> str:
    if isinstance(model, (str, os.PathLike)):
        return os.fspath(model)
    return getattr(model, "path", None) or "model"


def model_path(call: Call, model: Model) -> str:
    """A file with the model, for functions that read it more than once."""
    data = model_bytes(model)
    if data is None:
        return os.fsdecode(model)  # type: ignore[arg-type]
    file = call.enter_context(tempfile.NamedTemporaryFile(suffix=".onnx"))
    file.write(data)
    file.flush()
    return file.name


# --- ONNX Runtime ------------------------------------------------------------------------------


def use_runtime(call: Call) -> None:
    """Uses the ONNX Runtime of the installed Python package, unless LBW_ORT names one."""
    if os.environ.get("LBW_ORT"):
        return
    folder = runtime_folder()
    if folder:
        call.do(lib.lbw_runtime_open, call.string(folder))


def native_library() -> str:
    """Returns the path of the operator library with kernels for 8-bit activations.

    options = onnxruntime.SessionOptions()
    options.register_custom_ops_library(lbw.native_library())

    Raises OnnxRuntimeError if it is not installed.
    """
    with Call() as call:
        path = call.new("const char **")
        call.do(lib.lbw_native_library, path)
        return text(path[0])


def runtime_folder() -> str | None:
    """Where the package onnxruntime keeps its library."""
    try:
        spec = importlib.util.find_spec("onnxruntime")
    except (ImportError, ValueError):
        return None
    for place in (spec and spec.submodule_search_locations) or ():
        folder = os.path.join(place, "capi")
        if os.path.isdir(folder) and any(
            name.startswith("libonnxruntime.so") for name in os.listdir(folder)
        ):
            return folder
    return None


# --- what images look like ---------------------------------------------------------------------


class Picture:
    """The profile and preprocessing of the arguments."""

    def __init__(self, call: Call, profile: Any, preprocess: Mapping[str, Any] | None) -> None:
        self.call = call
        self.named = profile
        self.settings = {k: _setting(v) for k, v in (preprocess or {}).items()}
        scratch = call.new("struct lbw_preprocess *")
        self._overlay(scratch)  # so that mistakes show before any work

    def _overlay(self, preprocess: Any) -> None:
        for key, value in self.settings.items():
            self.call.do(lib.lbw_preprocess_option, preprocess, key.encode(), value.encode())

    def _new(self) -> Any:
        profile = ffi.new("struct lbw_profile *")
        self.call.keep(profile)
        self.call.callback(lib.lbw_profile_release, profile)
        return profile

    def _find(self, profile: Any) -> None:
        if isinstance(self.named, Mapping):
            data = json.dumps(self.named).encode()
            self.call.do(lib.lbw_profile_parse, profile, data, len(data), b"profile")
        else:
            self.call.do(lib.lbw_profile_find, profile, self.call.string(self.named))

    def _finish(self, profile: Any, model: Any) -> Any:
        self.call.do(lib.lbw_profile_adapt, profile, model)
        self._overlay(ffi.addressof(profile, "preprocess"))
        return profile

    def for_model(self, model: Any) -> Any:
        """The profile for calibration; NULL: inferred by the library."""
        if self.named is None and not self.settings:
            return ffi.NULL
        profile = self._new()
        if self.named is not None:
            self._find(profile)
        else:
            self.call.do(lib.lbw_preprocess_assume, ffi.addressof(profile, "preprocess"), model)
        return self._finish(profile, model)

    def for_detector(self, model: Any, name: str) -> Any:
        """The profile for detection: the one named, or the one that the outputs match."""
        profile = self._new()
        if self.named is not None:
            self._find(profile)
        else:
            guess = lib.lbw_profile_guess(model)
            if guess == ffi.NULL:
                raise ArgumentError(f"{name}: {_unknown(self.call, model)}")
            profile[0] = guess[0]
        return self._finish(profile, model)

    @property
    def has_size(self) -> bool:
        return "size" in self.settings


def _unknown(call: Call, model: Any) -> str:
    """Why no profile was chosen, and what to do about it."""
    names: list[str] = []
    while (one := lib.lbw_profile_candidate(model, len(names))) != ffi.NULL:
        names.append(text(one.name))
    if names:
        return f"the outputs fit more than one detector: name a profile: {', '.join(names)}"
    info = call.new("struct lbw_model_info *")
    call.do(lib.lbw_model_describe, info, model)
    shapes = []
    for i in range(info.num_outputs):
        port = info.outputs[i]
        dims = [str(port.dims[k]) if port.dims[k] >= 0 else "?" for k in range(port.num_dims)]
        shapes.append(f"'{text(port.name)}' {'x'.join(dims) or '?'}")
    return f"unknown detector: name a profile, see lbw.profiles(); outputs: {', '.join(shapes)}"


def _setting(value: Any) -> str:
    """As the option takes it: (640, 480) is not a list of numbers but a size."""
    if isinstance(value, (tuple, list)):
        return ",".join(str(v) for v in value)
    return str(value)


def dress(params: Any, profile: Any, picture: Picture) -> None:
    """Sets the preprocessing and size of a params struct."""
    if profile == ffi.NULL:
        return
    params.preprocess = ffi.addressof(profile, "preprocess")
    if picture.has_size:
        params.width = profile.preprocess.width
        params.height = profile.preprocess.height


# --- samples -----------------------------------------------------------------------------------


def _view(view: Any, name: str, array: Array, call: Call, keep: list[Any]) -> None:
    import numpy as np

    array = np.asarray(array)
    if array.dtype.kind not in "fiub":
        raise ArgumentError(f"array '{name}': expected numbers, not {array.dtype}")
    array = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    if array.ndim > len(view.dims):
        raise ArgumentError(f"array '{name}': more than {len(view.dims)} axes")
    view.name, view.type = call.string(name), call.string(array.dtype.name)
    view.num_dims = array.ndim
    for k, size in enumerate(array.shape):
        view.dims[k] = size
    view.data = ffi.from_buffer(array.reshape(-1).view(np.uint8)) if array.size else ffi.NULL
    view.size = array.nbytes
    keep.append((array, view.data))


def _views(value: Any, call: Call) -> tuple[Any, int, list[Any]]:
    arrays = value if isinstance(value, Mapping) else {"": value}
    views = ffi.new("struct lbw_array_view[]", len(arrays))
    keep: list[Any] = [views]
    for view, (name, array) in zip(views, arrays.items()):
        _view(view, name, array, call, keep)
    return views, len(arrays), keep


class _Spool:
    """Samples of an iterator, kept in a temporary file so that they can be had again."""

    def __init__(self, samples: Iterable[Any], most: int, call: Call) -> None:
        import numpy as np

        self._file = call.enter_context(tempfile.TemporaryFile())
        self._places: list[int] = []
        for sample in samples:
            self._places.append(self._file.tell())
            np.savez(self._file, **_named(sample))
            if len(self._places) == most:
                break
        self._ends = [*self._places[1:], self._file.tell()]

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, i: int) -> Any:
        import io

        import numpy as np

        self._file.seek(self._places[i])
        data = self._file.read(self._ends[i] - self._places[i])
        with np.load(io.BytesIO(data)) as arrays:
            return {name[1:]: arrays[name] for name in arrays}


def _named(sample: Any) -> dict[str, Any]:
    arrays = sample if isinstance(sample, Mapping) else {"": sample}
    return {"_" + name: array for name, array in arrays.items()}


def _is_array(value: Any) -> bool:
    return hasattr(value, "__array__") or hasattr(value, "__array_interface__")


def repeatable(call: Call, samples: Any, most: int) -> Any:
    """`samples`, or at most `most` of those that an iterable gives only once."""
    if samples is None or isinstance(samples, (str, os.PathLike)):
        return samples
    if hasattr(samples, "get_next"):  # a CalibrationDataReader of onnxruntime.quantization
        samples = iter(samples.get_next, None)
    is_sequence = hasattr(samples, "__len__") and hasattr(samples, "__getitem__")
    if isinstance(samples, (bytes, bytearray)) or not (
        is_sequence or _is_array(samples) or hasattr(samples, "__iter__")
    ):
        raise ArgumentError("calibration: expected a folder, a file, an array, a dict of arrays "
                            f"or an iterable of them, not {samples!r}")
    if isinstance(samples, Mapping) or _is_array(samples) or is_sequence:
        return samples
    return _Spool(samples, most, call)


def source(call: Call, params: Any, samples: Any, default: int) -> bool:
    """Sets `source` or `samples` of a params struct; False for "none"."""
    samples = repeatable(call, samples, int(params.num_samples) or default)
    if samples is None or isinstance(samples, (str, os.PathLike)):
        params.source = call.string(samples)
        return samples is None or os.fspath(samples) != "none"
    given = call.new("struct lbw_samples *")
    params.samples = given
    if isinstance(samples, Mapping) or _is_array(samples):
        given.arrays, given.num_arrays, keep = _views(samples, call)
        call.keep(keep)
        return True
    current: list[Any] = [None]

    def get(i: int) -> Any:
        views, num, keep = _views(samples[i], call)
        current[0] = keep  # until the next one is asked for
        return views, num

    given.num_samples = len(samples)
    call.handlers["sample"] = get
    given.get, given.user = lib.on_sample, call.handle
    return True
