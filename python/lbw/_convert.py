# SPDX-License-Identifier: MIT
"""Plans and conversions, and descriptions of models, grids and profiles."""

from __future__ import annotations

import itertools
import os
import time
from typing import Any, Callable, Iterable, Iterator, Mapping

from . import _options as options
from ._call import ArgumentError, Call, FileError, OnnxRuntimeError, Progress, text, warn
from ._lbw import ffi, lib
from ._options import Bits, Model, Path, Samples, dress
from ._results import (
    Budget,
    Conversion,
    Grid,
    Inspection,
    Kept,
    Layer,
    Plan,
    Port,
    Profile,
    Reencoding,
    Training,
    Weight,
    printed,
)


def _items(at: Any) -> Iterator[Any]:
    """The items of a table of the library; `at` returns NULL beyond the last."""
    return itertools.takewhile(lambda item: item != ffi.NULL, map(at, itertools.count()))


def grids() -> list[Grid]:
    """Lists the grids that `bits` accepts."""
    return [Grid._of(grid) for grid in _items(lib.lbw_grid_at)]


def profiles() -> list[Profile]:
    """Lists the built-in profiles that `profile` accepts."""
    return [Profile._of(profile) for profile in _items(lib.lbw_profile_at)]


def _weights(plan: Any) -> list[Weight]:
    return [Weight._of(lib.lbw_plan_item(plan, i)) for i in range(lib.lbw_plan_num_items(plan))]


def inspect(model: Model, *, ops: str | None = None) -> Inspection:
    """Describes `model` and its weights.

    ops: operators whose weights are listed (default "Conv,ConvTranspose"; also "Gemm" and
    "MatMul" if they hold more than a tenth of the weights).
    """
    with Call() as call:
        handle = options.open_model(call, model)
        info = call.new("struct lbw_model_info *")
        call.do(lib.lbw_model_describe, info, handle)
        described = dict(
            size=info.file_size or lib.lbw_model_size(handle),
            inputs=[Port._of(info.inputs[i]) for i in range(info.num_inputs)],
            outputs=[Port._of(info.outputs[i]) for i in range(info.num_outputs)],
            metadata={
                text(info.metadata[2 * i]): text(info.metadata[2 * i + 1])
                for i in range(info.num_metadata)
            },
        )
        base = Inspection._read(info, **described, weights=[], digest="")
        look = options.prepare_params(call, {"ops": ops})
        look.as_is = True
        call.run(lib.lbw_model_prepare, handle, look)
        params = call.new("struct lbw_plan_params *", {"ops": look.ops})
        plan = call.open("struct lbw_plan", lib.lbw_plan_free, lib.lbw_plan_new, handle, params)
        base.weights = _weights(plan)
        digest = call.new("char[]", lib.LBW_DIGEST_SIZE)
        call.run(lib.lbw_digest, digest, handle)
        base.digest = text(digest)
        return base


def _plan(call: Call, model: Any, values: Mapping[str, Any]) -> Any:
    """struct lbw_plan * of a prepared model, with the caller's plan applied."""
    params = options.plan_params(call, values)
    call.run(lib.lbw_model_prepare, model, options.prepare_params(call, values))
    plan = values["plan"]
    made = call.open("struct lbw_plan", lib.lbw_plan_free, lib.lbw_plan_new, model, params)
    if plan is None:
        return made
    lines = str(plan) if isinstance(plan, Plan) else getattr(plan, "plan", plan)
    if isinstance(lines, str) and "\n" in lines:
        data = lines.encode()
        call.do(lib.lbw_plan_apply_memory, made, data, len(data), b"plan")
    else:
        call.do(lib.lbw_plan_apply, made, call.string(lines))
    return made


def plan(
    model: Model,
    *,
    bits: Bits = "auto",
    bpw: float | None = None,
    target_size: int | None = None,
    calibration: Samples | None = None,
    num_samples: int | None = None,
    profile: str | Path | Mapping[str, Any] | None = None,
    preprocess: Mapping[str, Any] | None = None,
    skip: str | Iterable[str] = (),
    plan: Path | str | Plan | None = None,
    per_channel: bool = True,
    ops: str | None = None,
    method: str | None = None,
    mu: float | None = None,
    scale: str | None = None,
    keep_batchnorm: bool = False,
    all_weights: bool = False,
    requantize: bool = False,
    seed: int | None = None,
    damping: float | None = None,
    memory: int | None = None,
    activations: str | None = None,
    float_activations: str | Iterable[str] = (),
    range_power: float | None = None,
    progress: Progress | bool | None = None,
) -> Plan:
    """Lists what `quantize()` with the same arguments would do to each weight, or why not."""
    values = locals()
    with Call(progress) as call:
        job = _Job(call, model, values)
        made = job.plan
        return Plan(
            weights=_weights(made),
            text=printed(call, lib.lbw_plan_print, made, False),
            num_folded=lib.lbw_plan_num_folded(made),
            budget=job.budget,
            _json=printed(call, lib.lbw_plan_print, made, True),
        )


class _Saving:
    """Where a model goes: to a file, with external data or without, or into memory."""

    def __init__(self, call: Call, values: Mapping[str, Any]) -> None:
        self.call = call
        output = values.get("output")
        self.path = None if output is None else os.fspath(output)
        self.external: Any = ffi.NULL
        if values.get("external_data") is not None:
            if output is None:
                raise ArgumentError("external_data: needs an output path")
            self.external = call.new("struct lbw_external_params *")
            options.fill(self.external, options.EXTERNAL, values, call)
        elif values.get("external_threshold") or values.get("external_alignment"):
            raise ArgumentError("external_threshold, external_alignment: need external_data")

    def check(self, model: Any) -> None:
        """Refuses before long work what saving would refuse."""
        if self.path is None:
            return
        folder = os.path.dirname(self.path) or "."
        if not os.access(folder, os.W_OK | os.X_OK):
            why = "No such file or directory" if not os.path.isdir(folder) else "Permission denied"
            raise FileError(f"{self.path}: cannot write: {why}")
        self.call.do(lib.lbw_model_check_save, model, self.call.string(self.path), self.external)

    def save(self, model: Any) -> dict[str, Any]:
        if self.path is None:
            data, size = ffi.new("void **"), ffi.new("size_t *")
            self.call.run(lib.lbw_model_save_memory, model, data, size)
            try:
                return {"path": None, "model": ffi.buffer(data[0], size[0])[:]}
            finally:
                lib.lbw_free(data[0])
        path = self.call.string(self.path)
        if self.external == ffi.NULL:
            self.call.run(lib.lbw_model_save, model, path)
        else:
            self.call.run(lib.lbw_model_save_external, model, path, self.external)
        return {"path": self.path, "model": None}


class _Job:
    """open, plan, convert, save: the steps of every conversion."""

    def __init__(self, call: Call, model: Model, values: Mapping[str, Any],
                 checking: _Checking | None = None, loss: float = 0) -> None:
        self.call = call
        call.callback(lib.give_back)  # when all is closed
        self.values = values
        self.started = time.monotonic()
        if "encoding" in values:
            options.check_encoding(values)
        self.saving = _Saving(call, values)
        self.picture = options.Picture(call, values["profile"], values["preprocess"])
        self.params = call.new("struct lbw_convert_params *")
        options.fill(self.params.encode, options.ENCODE, values, call)
        options.fill(self.params, options.CONVERT, values, call)
        self.model = options.open_model(call, model)
        self.saving.check(self.model)
        self.profile = self.picture.for_model(self.model)
        self.detector = self.find_detector()
        if values.get("opset"):
            if values["requantize"]:
                call.do(lib.lbw_expand, self.model, ffi.NULL)
            call.do(lib.lbw_model_lift, self.model, values["opset"])
        self.samples = call.new("struct lbw_calibrate_params *")
        options.fill(self.samples, options.CALIBRATE, values, call)
        dress(self.samples, self.profile, self.picture)
        self.is_calibrated = options.source(call, self.samples, values["calibration"], 64)
        self.plan = _plan(call, self.model, values)
        self.num_noted = 0  # of the plan's notes
        self.warn()
        self.assumed = call.new("const char **")
        self.source = model
        self.budget: Budget | None = None
        self.chosen: Any = None
        self.data = ""
        self.checking = checking
        if checking and self.is_calibrated and self.has_work():
            checking.open(self)
            self.samples.hold_back = lib.lbw_check_hold_back(checking.handle)
        if self.is_calibrated and options.is_auto(values["bits"]):
            self.choose_bits(loss)
        elif values.get("bpw") or values.get("target_size"):
            name = "bpw" if values.get("bpw") else "target_size"
            raise ArgumentError(f"{name}: needs bits=\"auto\" and calibration")

    def choose_bits(self, loss: float) -> None:
        """bits="auto": the grids, by what they cost at the outputs."""
        call = self.call
        params = call.new("struct lbw_budget_params *")
        options.fill(params, options.BUDGET, self.values, call)
        params.calibrate = self.samples
        params.profile = self.detector
        params.loss = loss
        params.progress, params.user = lib.on_progress, call.handle
        out = call.new("struct lbw_budget *")
        options.use_runtime(call)
        call.run(lib.lbw_plan_choose_bits, out, self.plan, params)
        self.budget, self.chosen = Budget._read(out), out
        self.warn()

    def warn(self) -> None:
        """Warns with the notes that were added to the plan since the last time."""
        for i in range(self.num_noted, lib.lbw_plan_num_notes(self.plan)):
            warn(text(lib.lbw_plan_note(self.plan, i)))
            self.num_noted = i + 1

    def find_detector(self) -> Any:
        """The profile that decodes the outputs, or NULL if the detector is not known."""
        if self.picture.named is not None:
            return self.profile
        if lib.lbw_profile_guess(self.model) == ffi.NULL:
            return ffi.NULL
        try:
            return self.picture.for_detector(self.model, "model")
        except ArgumentError:  # of another size than the model's
            return ffi.NULL

    def calibrate(self, params: Any) -> None:
        options.use_runtime(self.call)
        if options.is_auto(self.values["bits"]):
            params.profile = self.detector
        params.detector = self.detector
        self.params.activations = self.call.open(
            "struct lbw_activations", lib.lbw_calibrate_close, lib.lbw_calibrate_open,
            self.model, params, self.assumed)
        num = lib.lbw_calibrate_num_samples(self.params.activations)
        source = self.values["calibration"]
        is_path = isinstance(source, (str, os.PathLike))
        kind = "generated image" if is_generated(source) else "sample"
        place = f" of {os.fspath(source)}" if is_path and kind == "sample" else ""
        self.data = f"{num} {kind}{'' if num == 1 else 's'}{place}"

    def weigh_edges(self) -> None:
        """activations="int8": what rounding them costs, for lbw_convert()."""
        if not lib.lbw_plan_num_edges(self.plan):
            return
        params = self.call.new("struct lbw_budget_params *")
        params.calibrate = self.samples
        params.profile = self.detector
        params.progress, params.user = lib.on_progress, self.call.handle
        self.call.run(lib.lbw_plan_weigh_edges, self.plan, params)

    def has_work(self) -> bool:
        return any(lib.lbw_plan_item(self.plan, i).grid != ffi.NULL
                   for i in range(lib.lbw_plan_num_items(self.plan)))

    def convert(self, tuner: Any = ffi.NULL) -> Any:
        """struct lbw_report *"""
        call = self.call
        self.params.tuner = tuner
        self.params.progress, self.params.user = lib.on_progress, call.handle
        report = call.open("struct lbw_report", lib.lbw_report_free, lib.lbw_convert,
                           self.model, self.plan, self.params)
        if self.checking:
            self.checking.run(self)
        return report

    def finish(self, report: Any, tuner: Any = ffi.NULL, assumed: str = "") -> Conversion:
        """Saves the model and reads the results."""
        call, kept = self.call, self.checking and self.checking.kept
        if self.checking:
            self.checking.warn()
        self.warn()
        saved = self.saving.save(self.model)
        return Conversion._read(
            report,
            **saved,
            kept=kept,
            is_keep_met=not self.checking or self.checking.is_met,
            assumed=assumed or text(self.assumed[0]),
            seconds=time.monotonic() - self.started,
            layers=[Layer._of(lib.lbw_report_row(report, i)) for i in range(report.num_rows)],
            training=_training(tuner),
            budget=self.budget,
            _json=printed(call, lib.lbw_report_print, report),
            _page=printed(call, lib.lbw_page_print, self.page(report)),
        )

    def page(self, report: Any) -> Any:
        """struct lbw_page_params * for notebooks."""
        params = self.call.new("struct lbw_page_params *")
        params.report, params.is_fragment = report, True
        params.data = self.call.string(self.data)
        if self.checking:
            params.kept, params.check = self.checking.result, self.checking.handle
        if isinstance(self.source, (str, os.PathLike)):
            params.title = self.call.string(os.path.basename(os.fspath(self.source)))
        if self.chosen is not None:
            params.budget = self.chosen
        return params


def is_generated(source: Any) -> bool:
    """Whether a calibration set is one of generated images."""
    if source is None:
        return True
    if not isinstance(source, (str, os.PathLike)):
        return False
    return bool(lib.lbw_source_is_generated(os.fsencode(source)))


class _Checking:
    """Held-back samples, and which of the float model's boxes on them are kept."""

    def __init__(self, call: Call, keep: Any) -> None:
        self.call = call
        self.share = 0 if keep is None else options.share_of("keep", keep)
        self._out = call.new("struct lbw_check **")
        call.callback(lib.lbw_check_close, self._out)
        self.result = call.new("struct lbw_check_result *")
        self.kept: Kept | None = None

    @property
    def handle(self) -> Any:
        return self._out[0]

    @property
    def is_met(self) -> bool:
        """Nothing was to be kept, or enough is: it lost no box, or is sure enough."""
        return not self.share or (self.kept is not None and (
            self.kept.num_lost == 0 or self.kept.at_least >= self.share))

    def lower(self, loss: float) -> float | None:
        """The loss to try next; None: this was the last."""
        next_loss = ffi.new("double *", loss)
        if self.share and lib.lbw_keep_next(next_loss, self.result, self.share):
            return float(next_loss[0])
        return None

    def open(self, job: _Job) -> None:
        """Runs the float model, once for all rounds of `keep`."""
        if self.handle != ffi.NULL:
            return
        params = job.call.new("struct lbw_check_params *")
        params.calibrate, params.profile = job.samples, job.detector
        params.num_samples = lib.LBW_KEEP_SAMPLES if self.share else 0
        options.use_runtime(job.call)
        try:
            job.call.run(lib.lbw_check_open, self._out, job.model, params)
        except OnnxRuntimeError as error:  # layers may be calibrated all the same
            if self.share:
                raise
            warn(f"what the result keeps was not measured: {error}")

    def run(self, job: _Job) -> None:
        if self.handle == ffi.NULL:
            return
        job.call.run(lib.lbw_check_run, self.result, self.handle, job.model)
        self.kept = Kept._of(self.result) if self.result.num_samples else None

    def warn(self) -> None:
        if self.result.is_of_layers:
            how = "measured at its last layers only" if self.result.num_samples else "not measured"
            warn(f"what the result keeps was {how}: {text(self.result.reason)}")


def _check_keep(values: Mapping[str, Any]) -> None:
    """`keep` needs bits="auto", a calibration set, and no other budget."""
    for name in ("bpw", "target_size", "state"):
        if values[name]:
            raise ArgumentError(f"keep: cannot be combined with {name}")
    source = values["calibration"]
    if isinstance(source, (str, os.PathLike)) and os.fspath(source) == "none":
        raise ArgumentError("keep: needs a calibration set")
    if not options.is_auto(values["bits"]):
        raise ArgumentError('keep: needs bits="auto"')


def _training(tuner: Any) -> Training | None:
    if tuner == ffi.NULL:
        return None
    result = lib.lbw_tune_result(tuner)
    for i in range(result.num_cuts):
        warn(f"no gradient rule for {text(result.cuts[i])}")
    if result.num_out_of_reach:
        warn(f"{result.num_out_of_reach} of {result.num_learned + result.num_out_of_reach} weights "
             "cannot be trained and keep their fitted codes")
    targets = [text(result.targets[i]) for i in range(result.num_targets)]
    return Training._read(result, targets=targets)


def quantize(
    model: Model,
    output: Path | None = None,
    *,
    bits: Bits = "auto",
    bpw: float | None = None,
    target_size: int | None = None,
    keep: float | str | None = None,
    calibration: Samples | None = None,
    num_samples: int | None = None,
    profile: str | Path | Mapping[str, Any] | None = None,
    preprocess: Mapping[str, Any] | None = None,
    encoding: str | None = None,
    inline: bool = False,
    target: str | None = None,
    opset: int | None = None,
    skip: str | Iterable[str] = (),
    plan: Path | str | Plan | None = None,
    per_channel: bool = True,
    ops: str | None = None,
    method: str | None = None,
    mu: float | None = None,
    scale: str | None = None,
    keep_batchnorm: bool = False,
    all_weights: bool = False,
    requantize: bool = False,
    independent: bool = False,
    seed: int | None = None,
    damping: float | None = None,
    memory: int | None = None,
    state: Path | None = None,
    activations: str | None = None,
    float_activations: str | Iterable[str] = (),
    range_power: float | None = None,
    external_data: str | None = None,
    external_threshold: int | None = None,
    external_alignment: int | None = None,
    progress: Progress | bool | None = None,
) -> Conversion:
    """Converts the convolution weights of `model` to zero or a power of two times a scale.

    model: a path, the bytes of a model or an onnx.ModelProto; it is not changed.
    output: the file to write; None: the result holds the model in memory.
    bits: "auto" chooses each weight's grid by what its rounding costs at the outputs: the
        smallest model that is predicted to keep the boxes, or the best one with `bpw` bits per
        weight or `target_size` bytes. Or bits per weight, 2 to 6, or the name of a grid like
        "4x2" (see `grids()`); or a dict of regular expressions for the names of nodes and
        tensors, where later ones win and None keeps weights in float: {"": 4, "head": 6}.
    keep: with bits="auto", finds the smallest file that keeps this share of the float model's
        boxes, 0.98 or "98%", on 16 held-back samples; `is_keep_met` of the result is False
        if none does.
    calibration: the calibration set, which the layers are fitted to. A folder of images, an
        .npz or .npy file; "generated" or "generated:N" (None: 32 generated images); "none" only
        rounds, which costs a detector many or all of its boxes. An array, or a dict of arrays
        by input name, as in an .npz file: the first axis counts samples. A sequence or
        another iterable of samples, each an array or a dict of arrays; they are fetched one by
        one when they are needed.
    num_samples: use at most this many samples (default 64, or 32 generated).
    profile: the detector: one of `profiles()`, a file, or a dict with the keys of such a file;
        None: recognised from the model.
    preprocess: settings that replace the profile's: size "640x480", resize "letterbox", color
        "bgr", layout "nhwc", pad, mean, std, multiple; see docs/profiles.md.
    encoding: "packed" (default), "dq", "float" or "native"; `inline` decodes "packed" with
        plain nodes instead of a function; `target` is the runtime that must support the types
        of "dq": "ort", "tensorrt", "openvino", "any".
    opset: lift the model to this opset first.
    skip: regular expressions for names; these weights stay in float.
    plan: the result of `plan()` or `search()`, its text, or a file with it.
    per_channel: one scale per output channel; False: one per tensor.
    ops: operators whose weights are converted (default "Conv,ConvTranspose"; also "Gemm" and
        "MatMul" if they hold more than a tenth of the weights).
    method: "optimal", "ternary" or "threshold", the latter with `mu`.
    scale: "real" (default) or "pow2".
    keep_batchnorm, all_weights, requantize, independent, seed, damping, memory (bytes), state:
        like the options of the program, see `lbw quantize --help`.
    activations: "float" (default), or "int8": activations between layers that can run on
        integers get 8 bits; needs calibration. float_activations: regular expressions;
        tensors stay float if they or their nodes match. range_power: ranges keep the sum of
        errors to this power least; 2 clips more than 4. Default: both are tried, and the one
        with which the detector's boxes agree better stays; 4 if they cannot be compared.
    external_data: name of a file next to `output` for tensors of at least `external_threshold`
        bytes (default 1024), each aligned to `external_alignment` (default 4096).
    progress: called as progress(what, done, total) in the caller's thread; it may raise to stop
        the work. True: a bar, if tqdm is installed.

    An eighth of the samples, at most 8, are held back; `kept` of the result counts the float
    model's boxes on them that the converted model keeps.

    Raises ArgumentError, FileError, FormatError, UnsupportedError or OnnxRuntimeError, and
    then writes nothing.
    """
    values = locals()
    with Call(progress) as call:
        checking = _Checking(call, keep)
        if checking.share:
            _check_keep(values)
        values["calibration"] = options.repeatable(call, calibration, num_samples or 64)
        loss: float | None = float(lib.LBW_KEEP_LOSS) if checking.share else 0.0
        while loss is not None:
            with Call(call.progress) as one:
                job = _Job(one, model, values, checking, loss)
                if activations == "int8" and not job.is_calibrated:
                    raise ArgumentError("activations: int8 needs calibration, not 'none'")
                if job.is_calibrated and job.has_work():
                    job.calibrate(job.samples)
                    job.weigh_edges()
                report = job.convert()
                if checking.share and not (checking.kept and checking.kept.is_of_boxes):
                    raise ArgumentError("keep: no boxes to keep: it needs a recognised detector, "
                                        "and images in which the detector finds boxes")
                loss = checking.lower(loss)
                if loss is None:
                    return job.finish(report)
        raise AssertionError


def tune(
    model: Model,
    output: Path | None = None,
    *,
    bits: Bits = "auto",
    bpw: float | None = None,
    target_size: int | None = None,
    calibration: Samples | None = None,
    num_samples: int | None = None,
    steps: int | None = None,
    minutes: float | None = None,
    batch: int | None = None,
    views: int | None = None,
    rate: float | None = None,
    optimizer: str | None = None,
    taps: int = 0,
    tap_weight: float | None = None,
    match: Iterable[str] = (),
    checkpoint: Path | None = None,
    profile: str | Path | Mapping[str, Any] | None = None,
    preprocess: Mapping[str, Any] | None = None,
    encoding: str | None = None,
    inline: bool = False,
    target: str | None = None,
    opset: int | None = None,
    skip: str | Iterable[str] = (),
    plan: Path | str | Plan | None = None,
    per_channel: bool = True,
    ops: str | None = None,
    method: str | None = None,
    mu: float | None = None,
    scale: str | None = None,
    keep_batchnorm: bool = False,
    all_weights: bool = False,
    requantize: bool = False,
    seed: int | None = None,
    damping: float | None = None,
    state: Path | None = None,
    activations: str | None = None,
    float_activations: str | Iterable[str] = (),
    range_power: float | None = None,
    external_data: str | None = None,
    external_threshold: int | None = None,
    external_alignment: int | None = None,
    on_step: Callable[[dict[str, Any]], object] | None = None,
    progress: Progress | bool | None = None,
) -> Conversion:
    """Converts like `quantize()`, then trains the weights without labels.

    The converted model learns to reproduce the float model's outputs; see docs/tuning.md. The
    arguments are those of `quantize()`, and:

    steps, minutes: length of the training; by default 400 steps, or as many as `minutes` allow.
    batch: views of images per step (default 8).
    views: number of different augmented views, which are reused (default 1024); the float
        model's outputs on them are kept up to 1 GiB, and computed each time on the others.
    rate, optimizer ("adam", "sgd"), taps, tap_weight, match: see `lbw tune --help`.
    checkpoint: a file to save training to, and to resume it from if it was interrupted.
    activations: "int8" trains with float activations and rounds them afterwards.
    on_step: called after each step with a dict: step, num_steps, num_views, loss, held_back,
        best, agreement, changed, rate, images_per_second, seconds_left.
    """
    if isinstance(calibration, (str, os.PathLike)) and os.fspath(calibration) == "none":
        raise ArgumentError("calibration: training needs images; 'none' is for quantize()")
    values = locals()
    with Call(progress) as call:
        values["calibration"] = options.repeatable(call, calibration, num_samples or 64)
        job = _Job(call, model, values)
        params = call.new("struct lbw_tune_params *")
        options.fill(params, options.TUNE, values, call)
        dress(params, job.profile, job.picture)
        params.source, params.samples = job.samples.source, job.samples.samples
        names = list(match)
        params.targets, params.num_targets = call.strings(names), len(names)
        params.profile = job.detector
        call.handlers["step"] = _stepper(on_step, call.progress)
        params.progress, params.user = lib.on_step, call.handle
        options.use_runtime(call)
        tuner = call.open("struct lbw_tuner", lib.lbw_tune_close, lib.lbw_tune_open, job.model,
                          job.plan, params, job.assumed)
        assumed = text(job.assumed[0])
        result = lib.lbw_tune_result(tuner)
        calibrate = job.samples
        # the same samples without the held-back ones, which must not be fitted to
        calibrate.num_samples = result.num_train + result.num_held_back
        calibrate.hold_back = result.num_held_back
        job.calibrate(calibrate)
        if lib.lbw_plan_num_edges(job.plan):
            job.params.ranges = call.open(
                "struct lbw_activations", lib.lbw_calibrate_close, lib.lbw_calibrate_open,
                job.model, calibrate, job.assumed)
            job.weigh_edges()
        return job.finish(job.convert(tuner), tuner, assumed)


_STEP = ("step", "num_steps", "num_views", "loss", "held_back", "best", "agreement", "changed", "rate",
         "images_per_second", "seconds_left")


def _stepper(on_step: Callable[[dict[str, Any]], object] | None, progress: Progress | None) -> Any:
    def step(status: Any) -> None:
        if on_step is not None:
            on_step({name: getattr(status, name) for name in _STEP})
        if progress is not None:
            progress(f"loss {status.loss:.3f}", status.step, status.num_steps)

    return step


def convert(
    model: Model,
    output: Path | None = None,
    *,
    encoding: str,
    inline: bool = False,
    target: str | None = None,
    opset: int | None = None,
    external_data: str | None = None,
    external_threshold: int | None = None,
    external_alignment: int | None = None,
) -> Reencoding:
    """Stores the same weights in another encoding, bit for bit; arguments as in `quantize()`."""
    values = locals()
    with Call() as call:
        options.check_encoding(values)
        saving = _Saving(call, values)
        params = call.new("struct lbw_encode_params *")
        options.fill(params, options.ENCODE, values, call)
        params.opset = opset or 0
        handle = options.open_model(call, model)
        saving.check(handle)
        num, num_plain = call.new("size_t *"), call.new("size_t *")
        note = call.new("const char **")
        call.run(lib.lbw_reencode, num, num_plain, note, handle, params)
        saved = saving.save(handle)
        return Reencoding(**saved, num=num[0], num_plain=num_plain[0], note=text(note[0]))


def expand(
    model: Model,
    output: Path | None = None,
    *,
    external_data: str | None = None,
    external_threshold: int | None = None,
    external_alignment: int | None = None,
) -> Reencoding:
    """Turns weights back into plain float32, exactly; arguments as in `quantize()`."""
    values = locals()
    with Call() as call:
        saving = _Saving(call, values)
        handle = options.open_model(call, model)
        saving.check(handle)
        num = call.new("size_t *")
        call.run(lib.lbw_expand, handle, num)
        return Reencoding(**saving.save(handle), num=num[0])
