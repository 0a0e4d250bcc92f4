# SPDX-License-Identifier: MIT
"""lbw eval and lbw detect on real detectors and images: detectors.py LBW ASSETS."""
import json
import os
import shutil
import subprocess
import sys
import tempfile

LBW, ASSETS = sys.argv[1:3]
MODELS = os.path.join(ASSETS, "models")
PICTURES = os.path.join(ASSETS, "coco", "eval")
LABELS = os.path.join(ASSETS, "coco", "eval.json")
failed = []


def run(*arguments):
    return subprocess.run([LBW, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          universal_newlines=True)


def check(good, what):
    print("ok -" if good else "not ok -", what)
    if not good:
        failed.append(what)


def model(name):
    return os.path.join(MODELS, name + ".onnx")


def evaluate(name, profile, *options):
    done = run("eval", model(name), "-p", profile, "--json", *options)
    if done.returncode:
        print(done.stderr)
        if "no ONNX Runtime found" in done.stderr:
            sys.exit(77)
        sys.exit(1)
    return json.loads(done.stdout), done.stderr


def by_pycocotools(path):
    """AP, AP50, AP75 of stored boxes, or None without pycocotools."""
    try:
        import contextlib
        import io
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError:
        return None
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(LABELS)
        evaluation = COCOeval(truth, truth.loadRes(path), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats[:3]


def float_reference(folder):
    """The assets' README has .288, .241 and .171 on 328 images; here are 120 of them."""
    for name, profile, low, high in (("yolox_nano", "yolox", .28, .30),
                                     ("nanodet_m_416", "nanodet", .24, .26),
                                     ("fastestdet", "fastestdet", .155, .18)):
        saved = os.path.join(folder, name + ".json")
        result, _ = evaluate(name, profile, "-i", PICTURES, "-l", LABELS, "--save", saved)
        labels = result["models"][0]["labels"]
        check(result["images"] == 120 and low < labels["ap"] < high,
              "%s: AP %.4f / AP50 %.4f" % (name, labels["ap"], labels["ap50"]))
        theirs = by_pycocotools(saved)
        if theirs is not None:
            ours = [labels[key] for key in ("ap", "ap50", "ap75")]
            worst = max(abs(a - b) for a, b in zip(ours, theirs))
            check(worst < 1e-4, "%s: pycocotools differs by %.1e" % (name, worst))


def agreement():
    faces = os.path.join(ASSETS, "faces")
    for name, profile in (("ultraface_rfb_320", "ultraface"), ("yunet_n_dynamic", "yunet")):
        result, _ = evaluate(name, profile, "-i", faces, "-r", model(name), "-n", "6")
        got = result["models"][0]["agreement"]
        check(got["ap50"] == 1 and got["lost"] == 0 and got["invented"] == 0
              and got["wanted"] > 20, "%s agrees with itself on %d faces" %
              (name, got["wanted"]))


def write_labels(folder):
    """The first ten images without crowds, labelled in all three ways; returns the json."""
    with open(LABELS) as file:
        coco = json.load(file)
    crowds = {a["image_id"] for a in coco["annotations"] if a["iscrowd"]}
    images = [i for i in coco["images"] if i["id"] not in crowds][:10]
    ids = {i["id"] for i in images}
    index = {c["id"]: k for k, c in enumerate(coco["categories"])}
    names = {c["id"]: c["name"] for c in coco["categories"]}
    annotations = []
    for a in coco["annotations"]: # whole pixels, so that VOC can say the same
        x, y, w, h = (round(v) for v in a["bbox"])
        if a["image_id"] in ids:
            box = [x, y, max(w, 1), max(h, 1)]
            annotations.append(dict(a, bbox=box, area=box[2] * box[3]))
    for part in ("pictures", "voc", "yolo"):
        os.mkdir(os.path.join(folder, part))
    for image in images:
        name, stem = image["file_name"], image["file_name"][:-4]
        shutil.copy(os.path.join(PICTURES, name), os.path.join(folder, "pictures"))
        with open(os.path.join(folder, "voc", stem + ".xml"), "w") as voc, \
                open(os.path.join(folder, "yolo", stem + ".txt"), "w") as yolo:
            voc.write("<annotation>")
            for a in (a for a in annotations if a["image_id"] == image["id"]):
                x, y, w, h = a["bbox"]
                voc.write("<object><name>%s</name><bndbox><xmin>%d</xmin><ymin>%d</ymin>"
                          "<xmax>%d</xmax><ymax>%d</ymax></bndbox></object>" %
                          (names[a["category_id"]], x + 1, y + 1, x + w, y + h))
                yolo.write("%d %.12g %.12g %.12g %.12g\n" % (
                    index[a["category_id"]], (x + w / 2) / image["width"],
                    (y + h / 2) / image["height"], w / image["width"], h / image["height"]))
            voc.write("</annotation>\n")
    path = os.path.join(folder, "labels.json")
    with open(path, "w") as file:
        json.dump(dict(coco, images=images, annotations=annotations), file)
    return path


def label_formats(folder):
    coco = write_labels(folder)
    pictures = os.path.join(folder, "pictures")
    aps = []
    for labels in (coco, os.path.join(folder, "voc"), os.path.join(folder, "yolo")):
        result, _ = evaluate("fastestdet", "fastestdet", "-i", pictures, "-l", labels)
        got = result["models"][0]["labels"]
        aps.append([got[k] for k in ("ap", "ap50", "ap_small", "ap_large", "voc_all")])
    check(all(abs(a - b) < 1e-9 for other in aps[1:] for a, b in zip(aps[0], other)),
          "COCO, VOC and YOLO labels give the same AP %.4f" % aps[0][0])

    with open(os.path.join(pictures, "unknown.png"), "w") as file:
        file.write("no image")
    open(os.path.join(folder, "yolo", "unknown.txt"), "w").close()
    result, talk = evaluate("fastestdet", "fastestdet", "-i", pictures, "-l", coco)
    check("unknown.png: no labels" in talk and result["images"] == 10, "unlabelled: " + talk)
    result, talk = evaluate("fastestdet", "fastestdet", "-i", pictures, "-l",
                            os.path.join(folder, "yolo"))
    check("unknown.png" in talk and result["unreadable"] == 1 and result["images"] == 10,
          "unreadable: " + talk)
    for name in os.listdir(pictures):
        with open(os.path.join(pictures, name), "w") as file:
            file.write("no image")
    done = run("eval", model("fastestdet"), "-p", "fastestdet", "-i", pictures, "-l", coco)
    check(done.returncode == 1 and "none of the 10 images" in done.stderr, done.stderr)


def mistakes():
    done = run("eval", model("fastestdet"), "-p", "yolox", "-i", PICTURES, "-l", LABELS)
    check(done.returncode == 1 and "'758' [1,85,22,22]" in done.stderr, done.stderr)
    done = run("eval", model("ultraface_rfb_320"), "-p", "ultraface", "-i", PICTURES, "-l",
               LABELS)
    check(done.returncode == 1 and "not one of the model's 1 classes ('face'" in done.stderr,
          done.stderr)
    done = run("detect", model("yolox_nano"), os.path.join(ASSETS, "faces", "1.jpg"), "-p", "yolov8")
    check(done.returncode == 1 and "with 80 classes; the outputs are" in done.stderr, done.stderr)
    done = run("eval", model("fastestdet"), "-p", "fastestdet", "-i", PICTURES)
    check(done.returncode == 2, done.stderr)


def drawing(folder):
    faces = [os.path.join(ASSETS, "faces", "%d.jpg" % i) for i in (1, 2)]
    done = run("detect", model("yunet_n_dynamic"), *faces, "-p", "yunet", "--size", "640x480",
               "-r", model("yunet_n_dynamic"), "-o", folder, "--json")
    found = json.loads(done.stdout)
    check(done.returncode == 0 and len(found) > 10 and not any(b["mark"] for b in found),
          "detect: %d faces, none lost, none invented" % len(found))
    for name in ("1.png", "2.png"):
        with open(os.path.join(folder, name), "rb") as file:
            check(file.read(8) == b"\x89PNG\r\n\x1a\n", "drawing " + name)


def guessed(folder):
    """Without --profile, training weighs outputs by the boxes that come of them."""
    done = run("tune", model("ultraface_rfb_320"), "-o", os.path.join(folder, "tuned.onnx"),
               "--calib", os.path.join(ASSETS, "faces"), "--samples", "2", "--steps", "1")
    check(done.returncode == 0 and "weighted by their effect on the boxes" in done.stderr, "tune: profile guessed")


def main():
    if not os.path.exists(LABELS):
        print("SKIP: no", LABELS)
        return 77
    with tempfile.TemporaryDirectory() as folder:
        float_reference(folder)
        agreement()
        label_formats(folder)
        mistakes()
        drawing(folder)
        guessed(folder)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
