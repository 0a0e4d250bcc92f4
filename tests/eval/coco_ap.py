# SPDX-License-Identifier: MIT
"""Our AP against pycocotools' on the same detections: coco_ap.py AP-PROGRAM [ASSETS]."""
import contextlib
import io
import json
import os
import random
import subprocess
import sys
import tempfile

try:
    import numpy as np
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval
except ImportError as error:
    print("SKIP:", error)
    sys.exit(77)


def single(value):
    """As a float32 holds it, so that both sides read the same number."""
    return float(np.float32(value))


def synthetic(rng):
    """Images with boxes of all sizes, crowds and categories with holes in their ids."""
    ids = [3, 5, 6, 11, 90]
    images = [{"id": i * 7 + 1, "file_name": "%03d.jpg" % i, "width": 640, "height": 480}
              for i in range(40)]
    annotations = []
    for image in images:
        for _ in range(rng.randrange(12)):
            w, h = (round(2 ** rng.uniform(2, 8), 2) for _ in range(2))
            annotations.append({
                "id": len(annotations) + 1, "image_id": image["id"],
                "category_id": rng.choice(ids[:4]), "iscrowd": int(rng.random() < .08),
                "bbox": [round(rng.uniform(0, 640 - w), 2), round(rng.uniform(0, 480 - h), 2),
                         w, h], "area": round(w * h * rng.uniform(.5, 1), 4)})
    return {"images": images, "annotations": annotations,
            "categories": [{"id": i, "name": "c%d" % i} for i in ids]}


def detections(rng, labels):
    """Truths shaken, doubled, missed, confused; noise; ties; more than 100 in one image."""
    found = []
    ids = [c["id"] for c in labels["categories"]]

    def add(image_id, category_id, box, score):
        found.append({"image_id": image_id, "category_id": category_id,
                      "bbox": [single(v) for v in box], "score": single(score)})

    for a in labels["annotations"]:
        for _ in range(rng.choice([0, 1, 1, 1, 2])):
            x, y, w, h = a["bbox"]
            shake = rng.choice([0, .02, .1, .3])
            box = [x + w * rng.gauss(0, shake), y + h * rng.gauss(0, shake),
                   w * 2 ** rng.gauss(0, shake), h * 2 ** rng.gauss(0, shake)]
            category = a["category_id"] if rng.random() < .9 else rng.choice(ids)
            add(a["image_id"], category, box, round(rng.betavariate(2, 2), 2))
    for image in labels["images"]:
        for _ in range(130 if image is labels["images"][0] else rng.randrange(5)):
            add(image["id"], ids[0] if image is labels["images"][0] else rng.choice(ids),
                [rng.uniform(0, 500), rng.uniform(0, 400), rng.uniform(1, 200),
                 rng.uniform(1, 200)], round(rng.betavariate(1, 3), 2))
    return found


def reference(labels, found):
    coco = COCO()
    coco.dataset = labels
    coco.createIndex()
    evaluation = COCOeval(coco, coco.loadRes(found), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    precision = evaluation.eval["precision"][:, :, :, 0, 2]
    classes = []
    for k in range(precision.shape[2]):
        valid = precision[:, :, k][precision[:, :, k] > -1]
        classes.append(valid.mean() if valid.size else -1.)
    return list(evaluation.stats[:6]), classes


def compare(name, program, labels, rng):
    found = detections(rng, labels)
    with tempfile.TemporaryDirectory() as folder:
        paths = [os.path.join(folder, n) for n in ("labels.json", "images", "found.json")]
        os.mkdir(paths[1])
        for image in labels["images"]:
            open(os.path.join(paths[1], image["file_name"]), "w").close()
        for path, content in ((paths[0], labels), (paths[2], found)):
            with open(path, "w") as file:
                json.dump(content, file)
        ours = json.loads(subprocess.run([program] + paths, check=True,
                                         stdout=subprocess.PIPE).stdout)
    with contextlib.redirect_stdout(io.StringIO()):
        stats, classes = reference(labels, found)
    pairs = list(zip(ours["ap"] + ours["classes"], stats + classes))
    worst = max(abs(a - b) for a, b in pairs)
    good = len(ours["classes"]) == len(classes) and worst <= 1e-4 and stats[0] > .05
    print("%s - %s: AP %.4f, %d numbers, largest difference %.1e" %
          ("ok" if good else "not ok", name, stats[0], len(pairs), worst))
    return good


def main():
    rng = random.Random(4)
    sets = [("synthetic %d" % i, synthetic(rng)) for i in range(4)]
    stored = os.path.join(sys.argv[2], "coco", "eval.json") if len(sys.argv) > 2 else ""
    if os.path.exists(stored):
        with open(stored) as file:
            sets.append(("COCO images", json.load(file)))
    good = [compare(name, sys.argv[1], labels, rng) for name, labels in sets]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
