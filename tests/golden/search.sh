# SPDX-License-Identifier: MIT
make_model detector model.onnx
lbw search model.onnx
lbw search model.onnx --images none --grids 3,9
lbw search model.onnx --images none --profile nonesuch
lbw search model.onnx --images none --profile ppocr --bits 9
lbw search model.onnx --images none --keep most
lbw search model.onnx --images none --keep 98% --target-bpw 4
lbw tune model.onnx -o out.onnx --activations=int8 --encoding float
mkdir empty
lbw search model.onnx --images empty --profile ppocr
