# SPDX-License-Identifier: MIT
"""Detection, detection tests, comparison and timing of models, and the search for plans."""

from __future__ import annotations

import os
from typing import Any, Callable, Iterable, Mapping, Sequence, Union

from . import _options as options
from ._call import ArgumentError, Call, Progress, text, warn
from ._lbw import ffi, lib
from ._options import Bits, Model, Path, Samples, dress
from ._results import (
    AveragePrecision,
    BenchRow,
    Box,
    CompareRow,
    Comparison,
    Detections,
    EvaluatedModel,
    Evaluation,
    SearchResult,
    Trial,
    printed,
)

Image = Union[Path, Any]


def _image(call: Call, image: Image) -> Any:
    """struct lbw_image * of a file, or of an array of height × width × 3 bytes, RGB."""
    out = call.new("struct lbw_image *")
    if isinstance(image, (str, os.PathLike)):
        call.do(lib.lbw_image_read, out, call.string(image))
        call.callback(lib.lbw_image_release, out)
        return out
    import numpy as np

    array = np.asarray(image)
    if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8 or not array.size:
        shape = "x".join(map(str, array.shape))
        raise ArgumentError("image: expected height x width x 3 values of uint8, RGB, not "
                            f"{shape} of {array.dtype}")
    array = np.ascontiguousarray(array)
    out.height, out.width = array.shape[:2]
    out.pixels = ffi.cast("uint8_t *", call.keep(ffi.from_buffer(array.reshape(-1))))
    return out


def _boxes(profile: Any, boxes: Any, num: int) -> list[Box]:
    return [
        Box._read(boxes[i], name=_class_name(profile, boxes[i].class_index)) for i in range(num)
    ]


def _class_name(profile: Any, index: int) -> str:
    return text(profile.labels[index]) if index < profile.num_labels else str(index)


class Detector:
    """A detector in ONNX Runtime; any number of threads may use it.

    with lbw.Detector("small.onnx") as detector:
        for box in detector("street.jpg"):
            print(box.name, box.score, box.xyxy)

    score: minimum score of a box. nms: IoU above which the weaker of two boxes is
    suppressed; None: the profile's. threads: of ONNX Runtime, for one image; None: one per
    processor. native: load the operator library, if it is installed. profile, preprocess:
    as in `quantize()`.
    """

    def __init__(
        self,
        model: Model,
        *,
        profile: str | Path | Mapping[str, Any] | None = None,
        preprocess: Mapping[str, Any] | None = None,
        score: float = 0.5,
        nms: float | None = None,
        threads: int | None = None,
        native: bool = True,
    ) -> None:
        self._call = call = Call()
        try:
            picture = options.Picture(call, profile, preprocess)
            handle = options.open_model(call, model)
            found = picture.for_detector(handle, options.model_name(model))
            self._profile = found
            found.score = score
            if nms is not None:
                found.nms = nms
            params = call.new("struct lbw_detector_params *", {
                "num_threads": threads or 0, "no_native": not native})
            options.use_runtime(call)
            self._detector = call.open("struct lbw_detector", lib.lbw_detector_close,
                                       lib.lbw_detector_open, handle, found, params)
        except BaseException:
            call.close()
            raise

    def __enter__(self) -> Detector:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Frees the model; the detector cannot be used after it."""
        self._detector = None
        self._call.close()

    def __del__(self) -> None:
        call = getattr(self, "_call", None)
        if call is not None:
            call.close()

    def __call__(self, image: Image) -> Detections:
        """Finds the boxes in an image: a JPEG or PNG file, or height × width × 3 uint8, RGB."""
        if self._detector is None:
            raise ValueError("the detector is closed")
        with Call() as call:
            picture = _image(call, image)
            boxes, num = call.new("struct lbw_box **"), call.new("size_t *")
            call.callback(lambda: lib.lbw_free(boxes[0]))
            call.run(lib.lbw_detector_run, self._detector, picture, boxes, num)
            return Detections(
                image=os.fspath(image) if isinstance(image, (str, os.PathLike)) else None,
                boxes=_boxes(self._profile, boxes[0], num[0]),
            )


def detect(
    model: Model,
    images: Image | Iterable[Image],
    *,
    profile: str | Path | Mapping[str, Any] | None = None,
    preprocess: Mapping[str, Any] | None = None,
    score: float = 0.5,
    nms: float | None = None,
    threads: int | None = None,
    native: bool = True,
) -> list[Detections]:
    """Finds the boxes in each image.

    images: a file, a folder (its JPEG and PNG files, by name), an array of height × width × 3
    uint8 values, RGB, or an iterable of these. The other arguments are those of `Detector`.
    """
    with Detector(model, profile=profile, preprocess=preprocess, score=score, nms=nms,
                  threads=threads, native=native) as detector:
        return [detector(image) for image in _images(images)]


def _images(images: Image | Iterable[Image]) -> Iterable[Any]:
    if isinstance(images, (str, os.PathLike)):
        if not os.path.isdir(images):
            return [images]
        names = sorted(n for n in os.listdir(images) if n.lower().endswith(_SUFFIXES))
        if not names:
            raise ArgumentError(f"{os.fspath(images)}: holds no .jpg, .jpeg or .png")
        return [os.path.join(images, name) for name in names]
    if getattr(images, "ndim", None) == 3 or not hasattr(images, "__iter__"):
        return [images]
    several: Iterable[Any] = images
    return several


_SUFFIXES = (".jpg", ".jpeg", ".png")


def _dataset(call: Call, images: Path, labels: Path | None, profile: Any, most: Any) -> Any:
    params = call.new("struct lbw_dataset_params *", {
        "images": call.string(images),
        "labels": call.string(labels),
        "names": profile.labels,
        "num_names": profile.num_labels,
        "max_images": most or 0,
    })
    return call.open("struct lbw_dataset", lib.lbw_dataset_close, lib.lbw_dataset_open, params)


def evaluate(
    models: Model | Sequence[Model],
    images: Path,
    labels: Path | None = None,
    *,
    reference: Model | None = None,
    profile: str | Path | Mapping[str, Any] | None = None,
    preprocess: Mapping[str, Any] | None = None,
    score: float | None = None,
    nms: float | None = None,
    reference_score: float | None = None,
    reference_nms: float | None = None,
    max_images: int | None = None,
    threads: int | None = None,
    native: bool = True,
    progress: Progress | bool | None = None,
) -> Evaluation:
    """Measures the average precision of models, and their agreement with a reference.

    models: one model, or a list; the profile is that of the first.
    images: a folder of JPEG and PNG files.
    labels: a COCO JSON file, a folder of Pascal VOC XML files, or of YOLO text files.
    reference: a model whose boxes are the truth; labels, reference or both are required.
    score, nms: minimum score and IoU for duplicates, against labels; None: the profile's.
    reference_score, reference_nms: the same for comparisons with the reference, in both models
        (default 0.6 and 0.3).
    max_images: use only the first N images, by name or COCO id. threads: images processed in
        parallel; None: one per processor. native: load the operator library, if installed.
    """
    if labels is None and reference is None:
        raise ArgumentError("labels: missing, and no reference is given")
    several: Sequence[Any] = models if isinstance(models, (list, tuple)) else [models]
    values = locals()
    with Call(progress) as call:
        picture = options.Picture(call, profile, preprocess)
        handles = [options.open_model(call, model) for model in several]
        found = picture.for_detector(handles[0], options.model_name(several[0]))
        params = call.new("struct lbw_eval_params *")
        options.fill(params, options.EVALUATE, values, call)
        options.fill(found, options.BOXES, values, call)
        params.profile = found
        params.dataset = _dataset(call, images, labels, found, max_images)
        if reference is not None:
            params.reference = options.open_model(call, reference)
        params.progress, params.progress_user = lib.on_progress, call.handle
        options.use_runtime(call)
        array = call.new("struct lbw_model *[]", handles)
        result = call.open("struct lbw_evaluation", lib.lbw_evaluation_free, lib.lbw_eval,
                           array, len(handles), params)
        names = [options.model_name(model) for model in several]
        notes = [text(result.notes[i]) for i in range(result.num_notes)]
        for note in notes:
            warn(note)
        return Evaluation._read(
            result,
            models=[
                _evaluated(result, i, names[i], lib.lbw_model_size(handles[i]), found,
                           labels is not None, reference is not None)
                for i in range(len(handles))
            ],
            notes=notes,
        )


def _evaluated(result: Any, i: int, name: str, size: int, profile: Any, has_labels: bool,
               has_reference: bool) -> EvaluatedModel:
    model = lib.lbw_evaluation_model(result, i)
    classes = {}
    for k in range(result.num_classes if has_labels else 0):
        label = text(result.names[k]) if result.names != ffi.NULL else str(k)
        classes[label] = AveragePrecision._read(lib.lbw_evaluation_class(result, i, k))
    return EvaluatedModel._read(
        model,
        name=name,
        size=size,
        labels=AveragePrecision._read(model.ap) if has_labels else None,
        agreement=AveragePrecision._read(model.agreement) if has_reference else None,
        classes=classes,
    )


def compare(
    a: Model,
    b: Model,
    *,
    data: Samples | None = None,
    num_samples: int | None = None,
    profile: str | Path | Mapping[str, Any] | None = None,
    preprocess: Mapping[str, Any] | None = None,
    seed: int | None = None,
    threads: int | None = None,
    native: bool = True,
    progress: Progress | bool | None = None,
) -> Comparison:
    """Runs both models on the same inputs: error, SNR and cosine of each output.

    a, b: the models; errors are relative to a.
    data: as `calibration` of `quantize()`; None: generated images. num_samples: use at most
        this many (default 4). native: load the operator library, if it is installed.
    """
    values = locals()
    with Call(progress) as call:
        picture = options.Picture(call, profile, preprocess)
        handles = [options.open_model(call, model) for model in (a, b)]
        params = call.new("struct lbw_compare_params *")
        options.fill(params, options.COMPARE, values, call)
        dress(params, picture.for_model(handles[0]), picture)
        options.source(call, params, data, 4)
        params.progress, params.user = lib.on_progress, call.handle
        options.use_runtime(call)
        result = call.open("struct lbw_comparison", lib.lbw_comparison_free, lib.lbw_compare,
                           *handles, params)
        rows = [lib.lbw_comparison_row(result, i) for i in range(result.num_rows)]
        return Comparison._read(
            result,
            rows=[
                CompareRow._read(row, shape=[row.dims[k] for k in range(row.num_dims)])
                for row in rows
            ],
        )


def bench(
    models: Model | Sequence[Model],
    *,
    seconds: float | None = None,
    runs: int | None = None,
    threads: int | None = None,
    size: tuple[int, int] = (0, 0),
    native: bool = True,
    progress: Progress | bool | None = None,
) -> list[BenchRow]:
    """Times models in ONNX Runtime, interleaved, as ratios to the first.

    seconds: measuring time per model (default 2). runs: number of runs of each model, instead
        of seconds. threads: of the runtime; None: one per processor. size: width and height of
        dynamic inputs. native: load the operator library, if it is installed.
    """
    several: Sequence[Any] = models if isinstance(models, (list, tuple)) else [models]
    values = locals()
    with Call(progress) as call:
        handles = [options.open_model(call, model) for model in several]
        params = call.new("struct lbw_bench_params *")
        options.fill(params, options.BENCH, values, call)
        params.width, params.height = size
        params.progress, params.user = lib.on_progress, call.handle
        options.use_runtime(call)
        array = call.new("struct lbw_model *[]", handles)
        result = call.open("struct lbw_bench", lib.lbw_bench_free, lib.lbw_bench, array,
                           len(handles), params)
        return [
            BenchRow._of(result.models[i], options.model_name(several[i]))
            for i in range(result.num_models)
        ]


_QUICK_PICTURES = 24


def search(
    model: Model,
    images: Path,
    labels: Path | None = None,
    *,
    target_size: int | None = None,
    target_bpw: float | None = None,
    keep: float | str | None = None,
    trials: int | None = None,
    minutes: float | None = None,
    grids: Iterable[int | str] = (),
    bits: Bits = 4,
    calibration: Samples | None = None,
    num_samples: int | None = None,
    profile: str | Path | Mapping[str, Any] | None = None,
    preprocess: Mapping[str, Any] | None = None,
    encoding: str | None = None,
    inline: bool = False,
    target: str | None = None,
    opset: int | None = None,
    skip: str | Iterable[str] = (),
    plan: Path | None = None,
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
    max_images: int | None = None,
    threads: int | None = None,
    on_trial: Callable[[Trial], object] | None = None,
    progress: Progress | bool | None = None,
) -> SearchResult:
    """Chooses each weight's bits by detection tests on `images`; see docs/search.md.

    images: a folder of images, preferably not in the calibration set.
    max_images, threads, labels: as in `evaluate()`; without labels, the float model's boxes are
        the truth.
    target_size: bytes of the model file (None: the size with `bits`).
    target_bpw: bits per weight, including scales and unconverted weights.
    keep: instead of a size, finds the smallest plan that keeps this share of the float model's
        boxes in the images, 0.98 or "98%".
    trials: maximum number of conversions to test (default 16). minutes: start no trial later.
    grids: grids to choose from (none: all useful ones).
    on_trial: called after each trial with a Trial.

    The other arguments are those of `quantize()`, which accepts the result as `plan`.
    """
    values = locals()
    done: list[Trial] = []
    raw: list[Any] = []
    options.check_encoding(values)
    with Call(progress) as call:
        call.callback(lib.give_back)
        picture = options.Picture(call, profile, preprocess)
        path = options.model_path(call, model)
        handle = options.open_model(call, path)
        found = picture.for_detector(handle, options.model_name(model))
        test = call.new("struct lbw_eval_params *", {"num_threads": threads or 0})
        test.profile = found
        test.dataset = _dataset(call, images, labels, found, max_images)
        params = call.new("struct lbw_search_params *")
        options.fill(params, options.SEARCH, values, call)
        options.fill(params.encode, options.ENCODE, values, call)
        params.encode.opset = opset or 0
        quick = min(max_images or _QUICK_PICTURES, _QUICK_PICTURES)
        params.quick = _dataset(call, images, labels, found, quick)
        params.test = test
        params.plan = options.plan_params(call, values)
        params.prepare = options.prepare_params(call, values)
        calibrate = call.new("struct lbw_calibrate_params *")
        options.fill(calibrate, options.CALIBRATE, values, call)
        dress(calibrate, picture.for_model(handle), picture)
        if options.source(call, calibrate, calibration, 64):
            calibrate.profile = found
            params.calibrate = calibrate
        params.max_seconds = 60 * (minutes or 0)
        choice = [options.grid(g) for g in grids]
        if choice:
            params.grids = call.new("const struct lbw_grid *[]", choice)
        params.num_grids = len(choice)
        call.handlers["trial"] = _logger(done, raw, on_trial)
        call.handlers["note"] = warn
        params.log, params.log_user = lib.on_trial, call.handle
        params.note = lib.on_note
        params.progress, params.user = lib.on_progress, call.handle
        options.use_runtime(call)
        result = call.open("struct lbw_search_result", lib.lbw_search_result_free,
                           lib.lbw_search, call.string(path), params)
        return SearchResult._read(
            result,
            start=Trial._read(ffi.addressof(result, "start")),
            best=Trial._read(ffi.addressof(result, "best")),
            trials=done,
            _page=_trials_page(call, model, raw),
        )


def _trials_page(call: Call, model: Model, trials: list[Any]) -> str:
    """The page of a search."""
    page = call.new("struct lbw_page_params *", {"is_fragment": True})
    if isinstance(model, (str, os.PathLike)):
        page.title = call.string(os.path.basename(os.fspath(model)))
    page.trials = call.new("struct lbw_search_trial[]", trials)
    page.num_trials = len(trials)
    return printed(call, lib.lbw_page_print, page)


def _logger(done: list[Trial], raw: list[Any],
            on_trial: Callable[[Trial], object] | None) -> Any:
    def log(trial: Any) -> None:
        raw.append(ffi.new("struct lbw_search_trial *", trial[0])[0])
        done.append(Trial._read(trial))
        if on_trial is not None:
            on_trial(done[-1])

    return log
