# SPDX-License-Identifier: MIT
"""Writes the models of all ONNX backend node tests into the folder named, and prints the folder
where the onnx package keeps its light models."""
import os
import sys
import warnings

warnings.simplefilter("ignore")  # of operators computing on purpose with infinities
try:
    from onnx.backend.test.loader import DATA_DIR, load_node_model_tests
except ImportError as missing:
    print("skipped:", missing)
    sys.exit(77)

for case in load_node_model_tests():
    with open(os.path.join(sys.argv[1], case.name + ".onnx"), "wb") as file:
        file.write(case.model.SerializeToString())
print(DATA_DIR)
