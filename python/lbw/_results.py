# SPDX-License-Identifier: MIT
"""What the functions return: dataclasses filled from the structs of the library.

A field takes the member of its own name; one more member is one more line here.
"""

from __future__ import annotations

import dataclasses
import html
import json
import math
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Iterator, TypeVar

from ._call import Call, text
from ._lbw import ffi, lib

if TYPE_CHECKING:
    import onnx

T = TypeVar("T", bound="Record")


def _value(value: Any) -> Any:
    if isinstance(value, ffi.CData):
        return text(value)
    return value


@dataclass
class Record:
    """A dataclass that a struct fills."""

    @classmethod
    def _read(cls: type[T], struct: Any, **given: Any) -> T:
        for f in dataclasses.fields(cls):
            if f.name not in given:
                given[f.name] = _value(getattr(struct, f.name))
        return cls(**given)

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain values, for JSON: NaN and infinities become None, bytes are left
        out."""
        return dict(_plain(self))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if dataclasses.is_dataclass(value):
        names = [f.name for f in dataclasses.fields(value) if f.name[0] != "_"]
        items = ((name, getattr(value, name)) for name in names)
        return {name: _plain(item) for name, item in items if not isinstance(item, bytes)}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return os.fspath(value) if isinstance(value, os.PathLike) else value


@dataclass
class Port(Record):
    """An input or output of a model."""

    name: str
    # "float32", …, or "?"
    type: str
    # Sizes; the name of a dynamic one, or None; None instead of the list: unknown rank.
    shape: list[int | str | None] | None

    @classmethod
    def _of(cls, port: Any) -> Port:
        shape: list[int | str | None] | None = None
        if port.num_dims >= 0:
            shape = [
                port.dims[i] if port.dims[i] >= 0 else text(port.symbols[i]) or None
                for i in range(port.num_dims)
            ]
        return cls._read(port, shape=shape)


@dataclass
class Weight(Record):
    """One weight of a model, and what a plan does to it."""

    # Its first consumer's name, or that node's first output.
    node: str
    op: str
    tensor: str
    # "" for the main graph, else where: "function 'f'", "body of 'If_3'".
    scope: str
    type: str
    # The encoding it already has: "packed 4", "dq int8", or "".
    encoded: str
    shape: list[int]
    # Of the output channels.
    axis: int
    # Values.
    count: int
    num_uses: int
    max_magnitude: float
    num_zeros: int
    # The name of the grid, see `grids()`; None: not converted, for `reason`.
    bits: str | None
    # Of this weight, in the unit of Budget.loss; NaN: not known.
    predicted_loss: float
    reason: str

    @classmethod
    def _of(cls, item: Any) -> Weight:
        return cls._read(
            item,
            shape=[item.dims[i] for i in range(item.num_dims)],
            bits=None if item.grid == ffi.NULL else text(item.grid.name),
        )


@dataclass
class Inspection(Record):
    """A model and its weights. Iterates over the weights; `pandas.DataFrame(inspect(…))` works."""

    ir_version: int
    # Of the default domain.
    opset: int
    producer: str
    graph_name: str
    # Bytes of the file.
    size: int
    num_nodes: int
    num_functions: int
    inputs: list[Port]
    outputs: list[Port]
    metadata: dict[str, str]
    # A digest of all weights, the same in every encoding.
    digest: str
    weights: list[Weight] = field(repr=False)

    def __iter__(self) -> Iterator[Weight]:
        return iter(self.weights)

    def __len__(self) -> int:
        return len(self.weights)


@dataclass
class Budget(Record):
    """The choice of bits="auto"."""

    # Predicted, relative to two terms of 4 bits everywhere; NaN: not known.
    loss: float
    # Per converted weight, codes and scales.
    bits: float
    # The loss is that of boxes; else that of the outputs of the last layers.
    by_boxes: bool
    # Weights whose effect could not be measured: they get grid 4x2.
    num_unknown: int
    # Why, for one of them.
    reason: str


@dataclass
class Plan(Record):
    """What will be done to each weight. Iterates over the weights.

    `text` is what `lbw plan` prints. Pass it to `quantize()` as `plan`, edited or as it is.
    """

    weights: list[Weight] = field(repr=False)
    text: str = field(repr=False)
    # BatchNormalizations folded into the convolution before them.
    num_folded: int
    # Where bits="auto" chose.
    budget: Budget | None = None
    _json: str = field(repr=False, default="")

    def __iter__(self) -> Iterator[Weight]:
        return iter(self.weights)

    def __len__(self) -> int:
        return len(self.weights)

    def __str__(self) -> str:
        return self.text

    def to_dict(self) -> dict[str, Any]:
        """What `lbw plan --json` prints."""
        record: dict[str, Any] = json.loads(self._json)
        return record


@dataclass
class Layer(Record):
    """The result for one weight."""

    node: str
    tensor: str
    shape: list[int]
    # The grid, or None for a weight that was not converted.
    bits: str | None
    converted: bool
    # "reconstruction", "training", "projection", or why it was not converted.
    how: str
    note: str
    # dB, if only rounded.
    snr_projection: float
    # dB, of the result: of the layer's output if calibrated, else of the weight.
    snr: float
    seconds: float
    bytes_before: int
    bytes_after: int

    @classmethod
    def _of(cls, row: Any) -> Layer:
        weight = Weight._of(row.item)
        return cls._read(
            row, node=weight.node, tensor=weight.tensor, shape=weight.shape, bits=weight.bits
        )


@dataclass
class KeptOutput(Record):
    """One output of the model over the held-back samples."""

    name: str
    # Not a tensor of numbers, so not compared.
    is_skipped: bool
    # Compared: those that are finite.
    num_values: int
    # dB; inf when equal.
    snr: float
    cosine: float


@dataclass
class Kept(Record):
    """What a conversion keeps, measured on samples that it did not see."""

    # Held back from the calibration set, or generated anew.
    num_samples: int
    # The profile knows the outputs, and the float model found boxes. At a score of .4 on both
    # sides; partners have the same class and overlap by half.
    is_of_boxes: bool
    # ONNX Runtime does not load all of the model: the outputs are those of its last layers.
    is_of_layers: bool
    # Why, in the runtime's words; "".
    reason: str
    # Of the float model.
    num_boxes: int
    # Of them, without a partner in the converted model.
    num_lost: int
    # Of the converted model, without a partner.
    num_invented: int
    # The share of boxes kept, or more, with a confidence of 84 %; NaN unless is_of_boxes.
    at_least: float
    outputs: list[KeptOutput]

    @classmethod
    def _of(cls, result: Any) -> Kept:
        rows = [KeptOutput._read(result.rows[i]) for i in range(result.num_rows)]
        return cls._read(result, at_least=float(lib.lbw_check_at_least(result)), outputs=rows)

    @property
    def share(self) -> float | None:
        """Share of the float model's boxes, 0 … 1; None without boxes or profile."""
        if not self.is_of_boxes:
            return None
        return (self.num_boxes - self.num_lost) / self.num_boxes

    def to_dict(self) -> dict[str, Any]:
        """The fields as in `lbw quantize --json`."""
        boxes = {"boxes": self.num_boxes, "lost": self.num_lost, "invented": self.num_invented,
                 "at_least": self.at_least}
        rows = [{"output": row.name, "values": row.num_values, "snr": row.snr,
                 "cosine": row.cosine} for row in self.outputs]
        measured = {"samples": self.num_samples, **(boxes if self.is_of_boxes else {})}
        layers = {"of_layers": self.reason} if self.is_of_layers else {}
        return dict(_plain({**measured, **layers, "outputs": rows}))


@dataclass
class Training(Record):
    """The result of training."""

    num_learned: int
    num_out_of_reach: int
    num_train: int
    num_held_back: int
    num_steps: int
    num_resumed: int
    # Loss on the held-back samples.
    held_back_before: float
    held_back_after: float
    # AP .50:.95 with the float model's boxes there as truth; -1: not known.
    agreement_before: float
    agreement_after: float
    # Share of the codes.
    changed: float
    seconds: float
    targets: list[str]


@dataclass
class Output(Record):
    """A model in a file or in memory."""

    path: str | None
    # The model's bytes if no path was given.
    model: bytes | None = field(repr=False)

    def __bytes__(self) -> bytes:
        if self.model is not None:
            return self.model
        assert self.path is not None
        with open(self.path, "rb") as file:
            return file.read()

    def proto(self) -> onnx.ModelProto:
        """The model as an onnx.ModelProto; needs the package onnx."""
        import onnx

        return onnx.load(self.path) if self.path else onnx.load_from_string(bytes(self))


@dataclass
class Conversion(Output):
    """A converted model and the results for its weights. Iterates over the layers, so that
    `pandas.DataFrame(result)` is the table of them."""

    # Of the whole model, external data included.
    bytes_before: int
    bytes_after: int
    num_converted: int
    # Values converted.
    num_weights: int
    # Codes and scales.
    bits_per_weight: float
    # Fitted to the calibration set, not only rounded.
    num_calibrated: int
    # dB: mean over the num_measured calibrated layers that have a signal and an error, or of
    # all weights together.
    snr: float
    num_measured: int
    calibrated: bool
    # Of errors, that the ranges of 8-bit activations minimize; 0: there are none.
    range_power: float
    # How far the detector's boxes agree with the float model's, 0 … 1, with ranges by power 4
    # and by power 2; the better was kept. NaN if only one power was tried.
    fourths_agreement: float
    squares_agreement: float
    # What was assumed about the images, in one line.
    assumed: str
    seconds: float
    layers: list[Layer] = field(repr=False)
    training: Training | None = None
    # Where bits="auto" chose.
    budget: Budget | None = None
    # On held-back samples; None if there were too few, or no calibration.
    kept: Kept | None = None
    # False: no bits that `keep` allows kept its share of the boxes.
    is_keep_met: bool = True
    _json: str = field(repr=False, default="")
    _page: str = field(repr=False, default="")

    @property
    def ratio(self) -> float:
        return self.bytes_after / self.bytes_before

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers)

    def __len__(self) -> int:
        return len(self.layers)

    def to_dict(self) -> dict[str, Any]:
        """What `lbw quantize --json` prints."""
        record: dict[str, Any] = json.loads(self._json)
        return {**record, "kept": self.kept.to_dict()} if self.kept else record

    def _repr_html_(self) -> str:
        """The page that `lbw quantize --report FILE.html` writes, to be put into another."""
        return self._page


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return "×".join(map(str, value))
    return html.escape("" if value is None else str(value))


def _table(columns: tuple[str, ...], rows: Any) -> str:
    head = "".join(f"<th>{c.replace('_', ' ')}</th>" for c in columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{_cell(getattr(r, c))}</td>" for c in columns) + "</tr>"
        for r in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


@dataclass
class Reencoding(Output):
    """A model in another encoding."""

    # Weights written in the new encoding, or expanded.
    num: int
    # Weights that had to stay plain.
    num_plain: int = 0
    # Why.
    note: str = ""


@dataclass
class CompareRow(Record):
    """One output of two models, over all samples."""

    name: str
    type: str
    # Not compared: the fields after `reason` are unset.
    is_skipped: bool
    # "only in model A", "only in model B", "not a tensor of numbers", or "".
    reason: str
    shape: list[int]
    has_same_shape: bool
    num_values: int
    # Values of which only one is finite, or that are unlike infinities.
    num_unlike: int
    max_error: float
    max_value: float
    relative_error: float
    # dB; inf when equal.
    snr: float
    cosine: float


@dataclass
class Comparison(Record):
    """Two models on the same inputs. Iterates over the outputs."""

    num_samples: int
    assumed: str
    # Why the rows are the outputs of the last layers: ONNX Runtime does not load all of a model.
    of_layers: str
    rows: list[CompareRow]

    def __iter__(self) -> Iterator[CompareRow]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def _repr_html_(self) -> str:
        return _table(("name", "shape", "max_error", "snr", "cosine"), self.rows)


@dataclass
class Spread(Record):
    """A median with the quartiles below and above it."""

    median: float
    low: float
    high: float


@dataclass
class BenchRow(Record):
    """How fast a model runs."""

    name: str
    load_seconds: float
    first_seconds: float
    # Of one run.
    seconds: Spread
    # Time of the first model over the time of this one, round by round: above 1 is faster.
    speed: Spread

    @classmethod
    def _of(cls, model: Any, name: str) -> BenchRow:
        spreads = {k: Spread._read(getattr(model, k)) for k in ("seconds", "speed")}
        return cls._read(model, name=name, **spreads)


@dataclass
class AveragePrecision(Record):
    """Average precision, 0 … 1, or -1 without labels: COCO's, and Pascal VOC's at IoU .5."""

    ap: float
    ap50: float
    ap75: float
    ap_small: float
    ap_medium: float
    ap_large: float
    voc_11: float
    voc_all: float
    num_truths: int
    num_boxes: int


@dataclass
class EvaluatedModel(Record):
    """The measurements of one model."""

    name: str
    # Bytes.
    size: int
    # Against the labels.
    labels: AveragePrecision | None
    # Against the boxes of the reference.
    agreement: AveragePrecision | None
    classes: dict[str, AveragePrecision] = field(repr=False)
    # Boxes of the reference.
    num_wanted: int
    num_found: int
    num_lost: int
    num_invented: int
    runtime_seconds: float
    decode_seconds: float


@dataclass
class Evaluation(Record):
    """Average precision of models. Iterates over the models."""

    models: list[EvaluatedModel]
    num_images: int
    num_unreadable: int
    read_seconds: float
    wall_seconds: float
    # What was left out, and why.
    notes: list[str]

    def __iter__(self) -> Iterator[EvaluatedModel]:
        return iter(self.models)

    def __len__(self) -> int:
        return len(self.models)

    def __getitem__(self, i: int) -> EvaluatedModel:
        return self.models[i]

    def to_rows(self) -> list[dict[str, Any]]:
        """One flat dict per model, for pandas."""
        rows = []
        for m in self.models:
            row: dict[str, Any] = {"model": m.name, "size": m.size}
            if m.labels:
                row.update(ap=m.labels.ap, ap50=m.labels.ap50, ap75=m.labels.ap75)
            if m.agreement:
                row.update(agree_ap50=m.agreement.ap50, agree_ap75=m.agreement.ap75)
                row.update(boxes=m.num_found, lost=m.num_lost, invented=m.num_invented)
            row["ms_per_image"] = 1e3 * m.runtime_seconds / self.num_images
            rows.append(row)
        return rows

    def _repr_html_(self) -> str:
        rows = self.to_rows()
        head = "".join(f"<th>{html.escape(k)}</th>" for k in rows[0])
        body = "".join(
            "<tr>" + "".join(f"<td>{_cell(v)}</td>" for v in row.values()) + "</tr>"
            for row in rows
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


@dataclass
class Box(Record):
    """A detected box in pixels of the image; x and y are the top left corner."""

    x: float
    y: float
    width: float
    height: float
    score: float
    class_index: int
    # Of the class; its number if the profile has no names.
    name: str

    @property
    def xyxy(self) -> tuple[float, float, float, float]:
        return self.x, self.y, self.x + self.width, self.y + self.height


@dataclass
class Detections(Record):
    """The boxes of one image, best first."""

    # The image's path, or None for an array.
    image: str | None
    boxes: list[Box]

    def __iter__(self) -> Iterator[Box]:
        return iter(self.boxes)

    def __len__(self) -> int:
        return len(self.boxes)


@dataclass
class Trial(Record):
    """One conversion that a search tested."""

    number: int
    what: str
    ap: float
    ap50: float
    ap75: float
    # Share of the float model's boxes that it keeps.
    kept: float
    size: int
    bits_per_weight: float
    snr: float
    mu: float
    # Its size is within the target; with `keep`, it keeps enough.
    fits: bool
    # So far.
    is_best: bool
    seconds: float


@dataclass
class SearchResult(Record):
    """A plan chosen by detection tests. Iterates over the trials."""

    # For `quantize(plan=…)`; it begins with a log of the trials.
    plan: str = field(repr=False)
    start: Trial
    best: Trial
    target_size: int
    num_weights: int
    # Of the float model against the labels; 1 without labels.
    float_ap: float
    is_interrupted: bool
    trials: list[Trial] = field(repr=False)
    _page: str = field(repr=False, default="")

    def __iter__(self) -> Iterator[Trial]:
        return iter(self.trials)

    def __len__(self) -> int:
        return len(self.trials)

    def _repr_html_(self) -> str:
        """The page that `lbw search --report FILE.html` writes, to be put into another."""
        return self._page


@dataclass
class Grid(Record):
    """The values that a weight may take: step × one of `levels`."""

    name: str
    # Per term.
    bits: int
    terms: int
    shift: int
    # Bits per weight in the packed encoding, without scales.
    packed_bits: float
    levels: list[int]

    @classmethod
    def _of(cls, grid: Any) -> Grid:
        levels = [grid.levels[i] for i in range(grid.num_levels)]
        return cls._read(grid, packed_bits=lib.lbw_grid_packed_bits(grid), levels=levels)


@dataclass
class Profile(Record):
    """The preprocessing, decoder and classes of a detector."""

    name: str
    family: str
    description: str
    num_classes: int
    score: float
    nms: float
    max_boxes: int
    # "416x416 letterbox-corner bgr, pad 114, mean 0,0,0, std 1,1,1"
    preprocess: str

    @classmethod
    def _of(cls, profile: Any) -> Profile:
        line = ffi.new("char[]", 256)
        lib.lbw_preprocess_describe(line, 256, ffi.addressof(profile, "preprocess"))
        family = text(lib.lbw_family_name(profile.family))
        return cls._read(profile, family=family, preprocess=text(line))


def printed(call: Call, function: Any, *args: Any) -> str:
    """A text that the library allocated."""
    out = ffi.new("char **")
    call.do(function, out, *args)
    try:
        return text(out[0])
    finally:
        lib.lbw_free(out[0])
