# SPDX-License-Identifier: MIT
"""What a typed project writes: `mypy --strict` reads it in test_interface.py, nothing runs it."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import lbw


def samples() -> Iterator[dict[str, object]]:
    yield {"images": [[0.0]]}


def convert(path: pathlib.Path, data: bytes) -> int:
    def progress(what: str, done: int, total: int) -> None:
        print(what, done / total)

    result = lbw.quantize(path, "small.onnx", bits={"": 4, "head": "4x2"}, calibration=samples(),
                          profile="yolox", preprocess={"size": "640x640"}, progress=progress,
                          activations="int8", float_activations=["head"], keep="98%")
    lost: int = result.kept.num_lost if result.kept else 0
    share: float | None = result.kept.share if result.kept else None
    names: list[str] = [layer.node for layer in result if layer.snr > 10]
    for model in lbw.evaluate([data, result, path], "val", "val.json"):
        print(model.name, model.labels.ap if model.labels else share)
    for detections in lbw.detect(result, ["a.jpg", pathlib.Path("b.png")]):
        for box in detections:
            corners: tuple[float, float, float, float] = box.xyxy
            print(box.name, corners)
    plan: lbw.Plan = lbw.plan(data, bpw=4.2, progress=True)
    found = lbw.search(path, "val", on_trial=lambda trial: print(trial.ap))
    tuned = lbw.tune(data, plan=plan, on_step=lambda step: print(step["loss"]))
    rows = lbw.compare(path, tuned, data="val")
    print(names, found.plan, [row.cosine for row in rows], bytes(lbw.expand(tuned)))
    try:
        lbw.inspect(path)
    except lbw.FileError as error:
        print(error.args, error.strerror)
    speeds: list[float] = [row.speed.median for row in lbw.bench([path, data])]
    print(speeds, lbw.convert(path, encoding="dq").num, [grid.levels for grid in lbw.grids()])
    return lost
