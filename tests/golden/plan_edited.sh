# SPDX-License-Identifier: MIT
# A plan goes out, is edited, and comes back.
make_model detector model.onnx
lbw plan model.onnx --bits 4 2>/dev/null >model.plan
sed -i '/pointwise/s/^4 /6 /; /stem/s/^4 /- /; /body/s/real/pow2/' model.plan
lbw plan model.onnx --bits 4 --plan model.plan
echo '7 real channel stem.weight' >bad.plan
lbw plan model.onnx --bits 4 --plan bad.plan
echo $?
echo '4 real channel nowhere.weight' >bad.plan
lbw plan model.onnx --bits 4 --plan bad.plan
echo $?
lbw plan model.onnx --bits 4 --plan missing.plan
