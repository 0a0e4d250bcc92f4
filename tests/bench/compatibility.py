#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes docs/compatibility.md: what other programs do with the models that lbw writes.

Converts the models of ../shared/assets (or LBW_ASSETS) and samples/shapes, uncalibrated, in every
encoding, and shows each to onnx.checker, old and new versions of ONNX Runtime (through `lbw
compare`), OpenVINO, OpenCV and ncnn. Each judge runs in a process of its own with a time limit.
The original model is shown to them too: what a judge cannot do with that is not lbw's doing.
Judges are installed below build/compatibility/, by pip and mvn, and results kept there, so that a
run that was stopped goes on where it was. About 25 minutes on two cores, and 3 GB.

usage: python3 tests/bench/compatibility.py
"""
import json
import os
import pathlib
import re
import resource
import signal
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
ASSETS = pathlib.Path(os.environ.get("LBW_ASSETS", ROOT / "../shared/assets"))
LBW = pathlib.Path(os.environ.get("LBW", ROOT / "build/lbw"))
WORK = ROOT / "build" / "compatibility"
PYTHON = WORK / "venv/bin/python"
LIMIT = 60   # seconds of processor time for one judge and one model
SIDE = 320   # of inputs that leave it open

MODELS = [ROOT / "samples/shapes/shapes.onnx", *sorted((ASSETS / "models").glob("*.onnx"))]
ENCODINGS = {"packed": ["-e", "packed"], "inline": ["-e", "packed", "--inline"],
             "dq": ["-e", "dq"], "float": ["-e", "float"]}
# Types of codes beside int8: bits, options of the dq file, of the float file it is compared with
CARRIERS = {"INT4": ("3", ["--opset", "21"]), "INT2": ("2", ["--opset", "25"]),
            "FLOAT8E4M3FN": ("5", ["--opset", "19"]),
            "FLOAT4E2M1": ("4", ["--opset", "23", "--target", "any"])}
CARRIED = ("shapes", "ultraface_rfb_320", "yolox_nano")
OLD_ORT = ["1.5.2", "1.9.0", "1.14.0", "1.20.0"]
PACKAGES = ["onnx", "onnxruntime", "openvino", "opencv-python-headless", "ncnn", "numpy"]
OLD_OPENCV = "4.12.0.88"
TABLED = ("OpenVINO", "OpenCV", "OpenCV 4", "ncnn")  # judges that get a table of their own
NEAR = 1e-4  # largest error, as a share of the largest output, that counts as the same


INTRODUCTION = """# Compatibility

What other programs do with the models that lbw writes. Written by
`python3 tests/bench/compatibility.py`, on a processor without a graphics card. Ten models (opsets 7 to
18, IR 3 to 8), each converted at 4 bits without calibration, and each judged in every encoding on one
random input.

A cell is the number of models that run and agree with the `float` encoding in the same program, and
the largest difference, as a share of the largest output, where there is one. Models whose original
the program does not run either are not counted: *originals* says how many are. *use* is the smallest
encoding that serves all of them.
"""
NOTES = """* `packed` needs model-local functions (IR 8), which ONNX Runtime supports from 1.9 on; 1.14 crashes on
  functions that contain constants. OpenVINO and OpenCV do not support them. The `packed` models that they do run
  have opset 7 or 8, for which lbw always writes inline.
* OpenVINO keeps int8 weights for matrix products and quantizes the other factor on the fly, and it computes in
  bfloat16 if the processor can. `EXECUTION_MODE_HINT=ACCURACY` turns both off; every row but
  *default hints* was measured with it.
* OpenCV 4 does not read uint16: use `dq` there, or `float` for half-precision models, whose `dq` it decodes
  to NaN (squeezenet_fp16).
* pnnx, ncnn's converter, does not pass attributes into functions, which models below opset 10 need
  (ultraface_rfb_320): use `--inline` there.
* Not tried: TensorRT and other accelerators; ONNX Runtime in a browser; `onnx2ncnn`, ncnn's older converter.
"""
CARRIED_NOTE = f"""## Types of codes

`dq` stores int8 unless the opset has a smaller type that holds the grid. Here {len(CARRIED)} models were
lifted to such an opset, and so was the float file that they are compared with. `--target` leaves out the types
that its runtime refuses, and also FLOAT4E2M1 for OpenVINO, where only recent versions load it: use
`--target any` for those.
"""
DETAILS_NOTE = """For programs with failures. *yes*: runs, and lbw's encodings give the same numbers as `float`; a number: the
difference; *no*: the reason is below the table. The last column is the difference between the program's `float`
and ONNX Runtime's.
"""


# ---- installing ----

def run(*command, **options):
    return subprocess.run([str(c) for c in command], check=True, **options)


def install():
    done = WORK / "installed"
    if not done.exists():
        run(sys.executable, "-m", "venv", WORK / "venv")
        pip = [PYTHON, "-m", "pip", "install", "-q", "--no-cache-dir"]
        run(*pip, *PACKAGES)
        run(*pip, "--no-deps", "pnnx")  # its program needs no torch, its Python module would
        run(*pip, "--no-deps", "--target", WORK / "opencv4",
            f"opencv-python-headless=={OLD_OPENCV}")
        done.touch()
    for version in OLD_ORT:
        folder = WORK / "ort" / version
        if (folder / "libonnxruntime.so").exists():
            continue
        run("mvn", "-q", "dependency:copy", f"-DoutputDirectory={folder}",
            f"-Dartifact=com.microsoft.onnxruntime:onnxruntime:{version}")
        jar = folder / f"onnxruntime-{version}.jar"
        run("unzip", "-q", "-j", jar, "*/linux-x64/libonnxruntime.so*", "-d", folder)
        jar.unlink()


# ---- judges: each is given a model and its input, and returns its outputs or raises ----

def judge_checker(model, feed):
    import onnx
    onnx.checker.check_model(model, full_check=True)
    return {}


def judge_ort(model, feed):
    import onnxruntime
    onnxruntime.set_default_logger_severity(4)
    session = onnxruntime.InferenceSession(model)
    return {o.name: v for o, v in zip(session.get_outputs(), session.run(None, feed))}


def judge_openvino(model, feed, hints=None):
    import openvino
    core = openvino.Core()
    loaded = core.read_model(model)
    loaded.reshape({name: value.shape for name, value in feed.items()})
    compiled = core.compile_model(loaded, "CPU", hints or {})
    return {port.any_name: value for port, value in compiled(feed).items()}


def judge_openvino_exact(model, feed):
    return judge_openvino(model, feed, {"EXECUTION_MODE_HINT": "ACCURACY"})


def judge_opencv(model, feed):
    import cv2
    net = cv2.dnn.readNetFromONNX(model)
    for name, value in feed.items():
        net.setInput(value, name)
    names = net.getUnconnectedOutLayersNames()
    return dict(zip(names, net.forward(names)))


def judge_opencv4(model, feed):
    sys.path.insert(0, str(WORK / "opencv4"))
    return judge_opencv(model, feed)


def judge_ncnn(model, feed):
    """pnnx makes ncnn's files, in float32 and beside the model; ncnn runs them."""
    import ncnn
    import numpy
    (value,) = feed.values()
    shape = ",".join(map(str, value.shape))
    stem = re.sub(r"\W", "_", model.removesuffix(".onnx"))
    pnnx = next(WORK.glob("venv/lib/python3*/site-packages/pnnx/pnnx"))
    shape = f"[{shape}]" + ("f16" if value.itemsize == 2 else "")
    out = subprocess.run([pnnx, model, f"inputshape={shape}", "fp16=0", f"ncnnparam={stem}.param",
                          f"ncnnbin={stem}.bin"], capture_output=True, text=True)
    text = [l for l in (out.stdout + out.stderr).splitlines() if l.strip()]
    failed = [l for l in text if "failed" in l or "not supported" in l]
    if out.returncode or not os.path.exists(f"{stem}.param"):
        raise RuntimeError("pnnx: " + (failed or text or [f"status {out.returncode}"])[-1])
    net = ncnn.Net()
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    net.opt.use_bf16_storage = False
    if net.load_param(f"{stem}.param") or net.load_model(f"{stem}.bin"):
        raise RuntimeError("ncnn does not load what pnnx made")
    extractor = net.create_extractor()
    extractor.input("in0", ncnn.Mat(numpy.ascontiguousarray(value[0], dtype="float32")).clone())
    found = {name: extractor.extract(name) for name in net.output_names()}
    if any(status for status, _ in found.values()):
        raise RuntimeError("ncnn does not run what pnnx made")
    return {name: numpy.array(mat) for name, (_, mat) in found.items()}


JUDGES = {"checker": judge_checker, "ONNX Runtime": judge_ort,
          "OpenVINO": judge_openvino_exact, "OpenVINO by default": judge_openvino,
          "OpenCV": judge_opencv, "OpenCV 4": judge_opencv4, "ncnn": judge_ncnn}


def limit():
    """Ends this process when it takes LIMIT more seconds, or waits for very long."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = LIMIT + int(used.ru_utime + used.ru_stime)
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.RLIM_INFINITY))
    signal.alarm(20 * LIMIT)


def judge_here(name, *pending):
    """What the process of a judge does: answers each MODEL FEED OUT in a file of its own."""
    import numpy
    for model, feed, out in zip(pending[::3], pending[1::3], pending[2::3]):
        limit()
        try:
            found = JUDGES[name](model, dict(numpy.load(feed)))
            numpy.savez(out, **{f"{i:03}": v for i, v in enumerate(found.values())})
        except Exception as error:
            pathlib.Path(out).with_suffix(".txt").write_text(reason(str(error)))


# ---- asking them ----

def reason(text):
    """The telling part of what a judge said, in one line."""
    lines = [re.sub(r"\x1b\[[\d;]*m", "", l).strip() for l in text.splitlines()]
    lines = [l for l in lines if l and not l.startswith("[ WARN")]
    told = [l for l in lines if re.search(r"rror|failed|conversion rule|invalid", l)]
    line = (told or lines or ["no word"])[-1]
    line = re.sub(r"^.*?(ONNX Runtime: |Error: |error: \(|failed: )(?=.)", "", line)
    line = re.sub(r"(\S*\.(cc|cpp|h|hpp):\d+ )?(\w+ )?onnxruntime::[\w:]+\(.*\) (?=[A-Z])", "", line)
    line = re.sub(r"0x[0-9a-f]+|\S*/\S+\.(cc|cpp|h|hpp)(:\d+)?", "…", line)
    return line[:150].replace("|", "/").replace("`", "'")


def death(status):
    """Why a process has died; None when it has not."""
    name = signal.Signals(-status).name if status < 0 else None
    if name in ("SIGXCPU", "SIGALRM"):
        return f"takes more than {LIMIT} s"
    return name and f"crashes ({name})"


def difference(a, b):
    """Largest error as a share of the largest output; outputs may come in another order."""
    import numpy
    errors = [min((float(numpy.abs(x.ravel().astype("f8") - y.ravel()).max())
                   for y in b if y.size == x.size), default=float("inf")) for x in a]
    return max(errors) / (max(float(numpy.abs(x).max()) for x in a) or 1) if a else 0.0


def place(judge, model):
    folder = WORK / "out" / judge.replace(" ", "_")
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{model.stem}.npz"


def answered(judge, model):
    return place(judge, model).exists() or place(judge, model).with_suffix(".txt").exists()


def ask(judge, files):
    """Has a judge answer all (model, feed) that it has not yet; one it dies of is an answer."""
    while pending := [(m, f) for m, f in files if not answered(judge, m)]:
        print(f"{judge}: {len(pending)} models", file=sys.stderr)
        more = [str(x) for m, f in pending for x in (m.name, f, place(judge, m))]
        process = subprocess.run([PYTHON, __file__, "--judge", judge, *more],
                                 cwd=WORK / "models", capture_output=True)
        left = [m for m, _ in pending if not answered(judge, m)]
        if left:
            why = death(process.returncode) or reason(process.stderr.decode(errors="replace"))
            place(judge, left[0]).with_suffix(".txt").write_text(why)


def by_compare(version, model, reference, feed):
    """A verdict by `lbw compare` in an old version of ONNX Runtime; kept."""
    note = place(version, model).with_suffix(".json")
    if not note.exists():
        print(f"ONNX Runtime {version}: {model.stem}", file=sys.stderr)
        command = [LBW, "compare", "--json", reference, model, "-d", feed, "-n", "1"]
        process = subprocess.run([str(c) for c in command], capture_output=True, text=True,
                                 preexec_fn=limit, env={**os.environ, "LBW_ORT": str(WORK / "ort" / version)})
        if process.returncode:
            found = {"why": death(process.returncode) or reason(process.stderr)}
        else:
            text = process.stdout  # old versions write warnings there
            told = json.loads(text[text.index("{"):])["outputs"]
            top = max(o["max_value"] for o in told) or 1
            found = {"error": max(o["max_error"] for o in told) / top}
        note.write_text(json.dumps(found))
    return json.loads(note.read_text())


def kept(judge, model):
    """The outputs, None when there are none."""
    import numpy
    file = place(judge, model)
    return list(numpy.load(file).values()) if file.exists() else None


def verdict(judge, model, reference, feed):
    """{"error": share of the largest output} or {"why": reason}."""
    if judge in OLD_ORT:
        return by_compare(judge, model, reference, feed)
    ask(judge, [(model, feed), (reference, feed)])
    if (failed := place(judge, model).with_suffix(".txt")).exists():
        return {"why": failed.read_text()}
    if not place(judge, reference).exists():
        return {"error": 0.0}
    return {"error": difference(kept(judge, reference), kept(judge, model))}


# ---- models ----

def feed_of(source):
    """Random numbers for the model's input, as a file."""
    import numpy
    import onnx
    file = WORK / "feeds" / f"{source.stem}.npz"
    file.parent.mkdir(parents=True, exist_ok=True)
    if not file.exists():
        graph = onnx.load(source).graph
        weights = {t.name for t in graph.initializer}
        (port,) = [p for p in graph.input if p.name not in weights]
        dims = [d.dim_value for d in port.type.tensor_type.shape.dim]
        dims = [d or (1 if i == 0 else SIDE) for i, d in enumerate(dims)]
        kind = onnx.helper.tensor_dtype_to_np_dtype(port.type.tensor_type.elem_type)
        numpy.savez(file, **{port.name: numpy.random.default_rng(0).random(dims).astype(kind)})
    return file


def convert(source, name, bits, options):
    """The file, made once; None when lbw refuses."""
    out = WORK / "models" / f"{source.stem}-{name}.onnx"
    if not out.exists():
        out.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run([str(c) for c in [LBW, "quantize", "-q", source, "-o", out, "-b", bits,
                                         "--calib", "none", *options]], stderr=subprocess.DEVNULL)
    return out if out.exists() else None


def link(source):
    """The original beside its conversions, for judges that write files."""
    out = WORK / "models" / f"{source.stem}-original.onnx"
    out.parent.mkdir(parents=True, exist_ok=True)
    if not out.exists():
        out.write_bytes(source.read_bytes())
    return out


# ---- tables ----

def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def number(error):
    return "0" if error == 0 else f"{error:.0e}".replace("e-0", "e-")


def grouped(failures):
    """One line per reason: {(what, model): why}."""
    reasons = {}
    for (what, model), why in failures.items():
        reasons.setdefault(re.sub(r"(node |Node )?\(?[\"'(\[_].*", "…", why)
                           if len(why) > 60 else why, []).append((what, model, why))
    lines = []
    for found in reasons.values():
        whats = list(dict.fromkeys(what for what, _, _ in found))
        models = list(dict.fromkeys(model for _, model, _ in found))
        where = "all" if len(models) == len(MODELS) else ", ".join(models)
        said = re.sub(r"^-\d+:[\w ]*\) |^-- ", "", found[0][2])
        lines.append(f"* {', '.join(whats)} ({where}): `{said}`")
    return "\n".join(lines) + "\n" if lines else ""


def ask_all():
    """{judge: {(encoding, model): verdict}}; the judges' word on every file."""
    files = {source: {"original": link(source)}
             | {name: convert(source, name, "4", options) for name, options in ENCODINGS.items()}
             for source in MODELS}
    found = {}
    for judge in [*JUDGES, *OLD_ORT]:
        if judge in JUDGES:
            ask(judge, [(f, feed_of(s)) for s, made in files.items() for f in made.values()])
        for source, made in files.items():
            for name, file in made.items():
                reference = file if name == "original" else made["float"]
                found.setdefault(judge, {})[name, source.stem] = verdict(
                    judge, file, reference, feed_of(source))
    return found


def cell(verdicts):
    """"9 of 10, 2e-6": how many run with the numbers of float, and how near."""
    good = [v["error"] for v in verdicts if v.get("error", 1) <= NEAR]
    if not good:
        return "none"
    return f"{len(good)}, {number(max(good))}" if max(good) else f"{len(good)}"


def able(found, judge):
    """The models of which the judge can run the original."""
    return [m.stem for m in MODELS if "why" not in found[judge]["original", m.stem]]


def advice(found, judge):
    """The smallest encoding that serves all models that the judge runs at all."""
    models = able(found, judge)
    for name in ENCODINGS:
        if all(found[judge][name, m].get("error", 1) <= NEAR for m in models):
            return f"`{name}`"
    return "see below"


def summary(found, names):
    rows = []
    for judge in found:
        models = able(found, judge)
        rows.append([names[judge], str(len(models)),
                     *[cell([found[judge][name, m] for m in models]) for name in ENCODINGS],
                     advice(found, judge)])
    return table(["", "originals", *ENCODINGS, "use"], rows)


def details(found, judge):
    """Model by model, and below it what the judge said where it refused."""
    rows, failures = [], {}
    for source in MODELS:
        model, row = source.stem, []
        for name in ("original", *ENCODINGS):
            v = found[judge][name, model]
            if "why" in v:
                failures[name, model] = v["why"]
            error = v.get("error")
            row.append("no" if error is None else number(error) if error and error <= NEAR else
                       f"**{number(error)}**" if error else "yes")
        ours = convert(source, "float", "4", ENCODINGS["float"])
        here = kept(judge, ours)
        row.append(number(difference(kept("ONNX Runtime", ours), here)) if here else "")
        rows.append([model, *row])
    return table(["model", "original", *ENCODINGS, "off ONNX Runtime"], rows), failures


def carriers(found_names):
    """INT4 and its like, where lbw lifts the model: counts per judge."""
    rows, failures = [], {}
    skipped = ("OpenVINO by default", *OLD_ORT[:-1])  # these know no opset beyond 18
    judges = [judge for judge in found_names if judge not in skipped]
    sources = [m for m in MODELS if m.stem in CARRIED]
    files = {(name, s): (convert(s, f"{name}-float", bits, ["-e", "float", *options]),
                         convert(s, name, bits, ["-e", "dq", *options]))
             for name, (bits, options) in CARRIERS.items() for s in sources}
    for judge in judges:
        if judge in JUDGES:
            ask(judge, [(f, feed_of(s)) for (_, s), pair in files.items() for f in pair])
        row = [found_names[judge]]
        for name in CARRIERS:
            verdicts, lifted = [], 0
            for source in sources:
                plain, coded = files[name, source]
                feed = feed_of(source)
                lifted += "why" not in verdict(judge, plain, plain, feed)
                verdicts.append(verdict(judge, coded, plain, feed))
                if "why" in verdicts[-1]:
                    failures[f"{found_names[judge]}, {name}", source.stem] = verdicts[-1]["why"]
            row.append(cell(verdicts) + f" of {lifted}" if lifted else "no float either")
        rows.append(row)
    heads = [f"{name} (b = {bits}, opset {options[1]})"
             for name, (bits, options) in CARRIERS.items()]
    return table(["", *heads], rows), failures


def versions():
    out = run(PYTHON, "-m", "pip", "list", "--format=json", "--disable-pip-version-check",
              capture_output=True, text=True).stdout
    found = {p["name"]: p["version"] for p in json.loads(out)}
    names = {v: f"ONNX Runtime {v}" for v in OLD_ORT}
    return names | {
        "checker": f"onnx.checker {found['onnx']}",
        "ONNX Runtime": f"ONNX Runtime {found['onnxruntime']}",
        "OpenVINO": f"OpenVINO {found['openvino']}",
        "OpenVINO by default": "OpenVINO, default hints",
        "OpenCV": f"OpenCV {found['opencv-python-headless']}",
        "OpenCV 4": f"OpenCV {OLD_OPENCV}",
        "ncnn": f"ncnn {found['ncnn']} by pnnx {found['pnnx']}"}


def of_activations():
    """The section that activations_runtimes.py wrote, or nothing."""
    text = (ROOT / "docs/compatibility.md").read_text()
    start = text.find("## 8-bit activations\n")
    return text[start:text.index("## Model by model\n")] if start >= 0 else ""


def main():
    if sys.argv[1:2] == ["--judge"]:
        judge_here(*sys.argv[2:])
        return
    install()
    if pathlib.Path(sys.prefix) != WORK / "venv":
        os.execv(PYTHON, [str(PYTHON), __file__, *sys.argv[1:]])
    found = ask_all()
    names = {judge: name for judge, name in versions().items() if judge in found}
    carried, refused = carriers(names)
    text = [INTRODUCTION, summary(found, names), NOTES, CARRIED_NOTE, carried,
            grouped(refused), of_activations(), "## Model by model\n", DETAILS_NOTE]
    for judge, name in names.items():
        rows, failures = details(found, judge)
        if judge in TABLED or failures:
            text += [f"### {name}\n", *([rows] if judge in TABLED else []), grouped(failures)]
    (ROOT / "docs/compatibility.md").write_text("\n".join(t for t in text if t))


if __name__ == "__main__":
    main()
