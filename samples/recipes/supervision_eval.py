# SPDX-License-Identifier: MIT
"""Mean average precision of a model by supervision, with boxes found by lbw.

usage: supervision_eval.py MODEL.onnx IMAGES VOC-FOLDER [PROFILE]
"""

import sys

import numpy as np
import supervision as sv
from supervision.metrics import MeanAveragePrecision

import lbw


def to_supervision(boxes, classes):
    """lbw.Detections as supervision.Detections; classes by their names."""
    return sv.Detections(
        xyxy=np.array([box.xyxy for box in boxes], np.float32).reshape(-1, 4),
        confidence=np.array([box.score for box in boxes], np.float32),
        class_id=np.array([classes.index(box.name) for box in boxes], int),
    )


def mean_average_precision(model, pictures, labels, profile=None):
    dataset = sv.DetectionDataset.from_pascal_voc(pictures, labels)
    metric = MeanAveragePrecision()
    with lbw.Detector(model, profile=profile, score=0.01) as detector:
        for path, _, truth in dataset:
            metric.update(to_supervision(detector(path), dataset.classes), truth)
    return metric.compute().map50_95


if __name__ == "__main__":
    print(mean_average_precision(*sys.argv[1:]))
