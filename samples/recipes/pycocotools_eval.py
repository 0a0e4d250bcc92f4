# SPDX-License-Identifier: MIT
"""Average precision of a model by pycocotools, with boxes found by lbw.

usage: pycocotools_eval.py MODEL.onnx IMAGES LABELS.json [PROFILE]
"""

import os
import sys

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

import lbw


def average_precision(model, pictures, labels, profile=None):
    truth = COCO(labels)
    categories = truth.getCatIds()
    found = []
    with lbw.Detector(model, profile=profile, score=0.01) as detector:
        for image in truth.loadImgs(truth.getImgIds()):
            for box in detector(os.path.join(pictures, image["file_name"])):
                found.append([image["id"], box.x, box.y, box.width, box.height, box.score,
                              categories[box.class_index]])
    evaluation = COCOeval(truth, truth.loadRes(np.array(found)), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return evaluation.stats[0]


if __name__ == "__main__":
    average_precision(*sys.argv[1:])
