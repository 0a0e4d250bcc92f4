# SPDX-License-Identifier: MIT
# Lifted models say the same: ONNX Runtime's outputs before and after, for one small model per
# rule and for the detectors of the assets; and no change of an operator's signature goes unseen.
import glob
import os
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import onnx
    import onnxruntime as ort
    from onnx import TensorProto as T
    from onnx import defs, helper
except ImportError as e:
    print('1..0 # SKIP', e)
    sys.exit(77)

tool, assets, rules_file = sys.argv[1:4]
folder = tempfile.mkdtemp()
failures = 0
ort.set_default_logger_severity(4)


def check(ok, what):
    global failures
    failures += not ok
    print('ok' if ok else 'NOT OK', '-', what, flush=True)


def lift(path, opset):
    out = os.path.join(folder, 'lifted.onnx')
    done = subprocess.run([tool, path, out, str(opset)], capture_output=True, text=True)
    return (out, None) if done.returncode == 0 else (None, done.stderr.strip())


def run(path, feed):
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(path, options, providers=['CPUExecutionProvider'])
    return session.run(None, {i.name: feed[i.name] for i in session.get_inputs()})


def difference(a, b):
    """The largest error over the largest magnitude; kernels of two versions may round apart."""
    if len(a) != len(b) or any(x.shape != y.shape or x.dtype != y.dtype for x, y in zip(a, b)):
        return float('inf')
    return max(float(np.max(np.abs(x.astype(np.float64) - y)) / max(np.max(np.abs(x)), 1e-30))
               for x, y in zip(a, b))


def tolerance(outputs):
    return 2e-3 if outputs[0].dtype == np.float16 else 1e-6


rng = np.random.default_rng(1)


def array(*shape, dtype=np.float32):
    return rng.standard_normal(shape).astype(dtype)


def value(name, a):
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(a.dtype),
                                         list(a.shape))


def model(opset, nodes, inputs, constants=(), outputs=('y',), functions=(), out_type=T.FLOAT):
    graph = helper.make_graph(
        nodes, 'g', [value(k, v) for k, v in inputs.items()],
        [helper.make_tensor_value_info(o, out_type, None) for o in outputs],
        [onnx.numpy_helper.from_array(v, k) for k, v in dict(constants).items()])
    imports = [helper.make_opsetid('', opset)]
    if functions:
        imports.append(helper.make_opsetid('test', 1))
    m = helper.make_model(graph, opset_imports=imports, functions=list(functions),
                          ir_version=8 if functions else 4)
    return m


n = helper.make_node
image = {'x': array(1, 4, 8, 8)}
half = {'x': array(1, 4, 8, 8, dtype=np.float16)}
conv = [n('Conv', ['x', 'w'], ['c'])]
w = {'w': array(4, 4, 1, 1)}
cases = {
    'BatchNormalization 7': (7, [n('BatchNormalization', ['x', 's', 'b', 'm', 'v'], ['y'],
                                   spatial=1)], image,
                             {k: np.abs(array(4)) for k in 'sbmv'}),
    'Upsample 7 nearest': (7, [n('Upsample', ['x'], ['y'], scales=[1., 1., 2., 3.])], image),
    'Upsample 7 linear': (7, [n('Upsample', ['x'], ['y'], scales=[1., 1., 2., 2.],
                                mode='linear')], image),
    'Upsample 9': (9, [n('Upsample', ['x', 's'], ['y'])], image,
                   {'s': np.array([1, 1, 2, 2], np.float32)}),
    'Upsample 9, scales computed': (
        9, [n('Cast', ['k'], ['s'], to=T.FLOAT), n('Upsample', ['x', 's'], ['y'])],
        {**image, 'k': np.array([1, 1, 2, 2])}),
    'Resize 10 down': (10, [n('Resize', ['x', 's'], ['y'])], image,
                       {'s': np.array([1, 1, .6, .5], np.float32)}),
    'Resize 10 linear': (10, [n('Resize', ['x', 's'], ['y'], mode='linear')], image,
                         {'s': np.array([1, 1, 1.5, .5], np.float32)}),
    'Resize 11 sizes': (11, [n('Resize', ['x', 'r', 's', 'z'], ['y'], mode='linear')], image,
                        {'r': np.zeros(0, np.float32), 's': np.zeros(0, np.float32),
                         'z': np.array([1, 4, 11, 5])}),
    'ImageScaler 7': (7, [n('ImageScaler', ['x'], ['y'], scale=.5, bias=[1., 2., 3., 4.])],
                      image),
    'Crop 7': (7, [n('Crop', ['x'], ['y'], border=[1, 2, 0, 3])], image),
    'Crop 7 to a size': (7, [n('Crop', ['x'], ['y'], border=[1, 2, 0, 3], scale=[3, 4])], image),
    'Affine 7': (7, [n('Affine', ['x'], ['y'], alpha=.5, beta=2.)], image),
    'Scale 7': (7, [n('Scale', ['x'], ['y'], scale=.3)], image),
    'Slice 7': (7, [n('Slice', ['x'], ['y'], starts=[1, -3], ends=[3, 10000], axes=[1, 3])],
                image),
    'Slice 7 without axes': (7, [n('Slice', ['x'], ['y'], starts=[0, 1], ends=[1, 3])], image),
    'TopK 7': (7, [n('TopK', ['x'], ['y', 'i'], k=3, axis=2)], image, {}, ('y',)),
    'Dropout 7': (7, [n('Dropout', ['x'], ['y'], ratio=.3)], image),
    'Clip 7': (7, conv + [n('Clip', ['c'], ['y'], min=0., max=.5)], image, w),
    'Clip 7 max': (7, conv + [n('Clip', ['c'], ['y'], max=.5)], image, w),
    'Clip 7 nothing': (7, conv + [n('Clip', ['c'], ['y'])], image, w),
    'Clip 7 half': (7, [n('Relu', ['x'], ['r']), n('Clip', ['r'], ['y'], min=.1, max=.5)], half,
                    {}, ('y',), (), T.FLOAT16),
    'Pad 7': (7, [n('Pad', ['x'], ['y'], pads=[0, 0, 1, 2, 0, 0, 1, 0])], image),
    'Pad 7 value': (7, [n('Pad', ['x'], ['y'], pads=[0, 0, 1, 2, 0, 0, 1, 0], value=2.5)],
                    image),
    'Pad 7 reflect': (7, [n('Pad', ['x'], ['y'], pads=[0, 0, 1, 2, 0, 0, 1, 0],
                            mode='reflect')], image),
    'Scatter 9': (9, [n('Scatter', ['x', 'i', 'u'], ['y'], axis=1)], {'x': array(3, 5)},
                  {'i': np.array([[1, 3]]), 'u': array(1, 2)}),
    'Softmax 7 axis 1': (7, [n('Softmax', ['x'], ['y'])], image),
    'Softmax 11 axis 0': (11, [n('Softmax', ['x'], ['y'], axis=0)], image),
    'Softmax 11 axis -2': (11, [n('Softmax', ['x'], ['y'], axis=-2)], image),
    'Softmax 11 last': (11, [n('Softmax', ['x'], ['y'], axis=3)], image),
    'LogSoftmax 7': (7, [n('LogSoftmax', ['x'], ['y'])], image),
    'Hardmax 7': (7, [n('Hardmax', ['x'], ['y'])], image),
    'ReduceSum 7': (7, [n('ReduceSum', ['x'], ['y'], axes=[1, 3], keepdims=0)], image),
    'ReduceSum 7 all': (7, [n('ReduceSum', ['x'], ['y'])], image),
    'Split 7': (7, [n('Split', ['x'], ['y', 'z'], axis=1, split=[1, 3])], image, {}, ('y', 'z')),
    'Split 7 equal': (7, [n('Split', ['x'], ['y', 'z'], axis=1)], image, {}, ('y', 'z')),
    'Squeeze 7': (7, [n('Squeeze', ['x'], ['s'], axes=[0]),
                      n('Unsqueeze', ['s'], ['y'], axes=[0, 2])], image),
    'Squeeze 7 all': (7, [n('Squeeze', ['x'], ['y'])], image),
    'RoiAlign 10': (10, [n('RoiAlign', ['x', 'r', 'b'], ['y'], output_height=3, output_width=3)],
                    image, {'r': np.array([[0, 0, 5, 5], [1, 2, 6, 7]], np.float32),
                            'b': np.zeros(2, np.int64)}),
    'DFT 17': (17, [n('DFT', ['x'], ['y'], axis=1)], {'x': array(1, 8, 3, 1)}),
    'GridSample 16': (16, [n('GridSample', ['x', 'g'], ['y'], mode='bilinear')], image,
                      {'g': np.tanh(array(1, 5, 5, 2))}),
    'GridSample 16 cubic': (16, [n('GridSample', ['x', 'g'], ['y'], mode='bicubic')], image,
                            {'g': np.tanh(array(1, 5, 5, 2))}),
    'AveragePool 10': (10, [n('AveragePool', ['x'], ['y'], kernel_shape=[3, 3], strides=[2, 2],
                              pads=[1, 1, 1, 1], count_include_pad=1)], image),
    'ConvTranspose 7': (7, [n('ConvTranspose', ['x', 'w'], ['y'], strides=[2, 2],
                              output_padding=[1, 1])], image, {'w': array(4, 2, 3, 3)}),
    'If 11': (11, [n('If', ['k'], ['y'],
                     then_branch=helper.make_graph(
                         [n('Clip', ['x', 'lo'], ['c']), n('Squeeze', ['c'], ['t'], axes=[0])],
                         't', [], [helper.make_tensor_value_info('t', T.FLOAT, None)]),
                     else_branch=helper.make_graph(
                         [n('Softmax', ['x'], ['e'], axis=1)], 'e', [],
                         [helper.make_tensor_value_info('e', T.FLOAT, None)]))],
              {**image, 'k': np.array(True)}, {'lo': np.array(.5, np.float32)}),
}
for reduction in ('L1', 'L2', 'LogSum', 'LogSumExp', 'Max', 'Mean', 'Min', 'Prod', 'SumSquare'):
    cases['Reduce%s 13' % reduction] = (
        13, [n('Reduce' + reduction, ['x'], ['y'], axes=[2, 3])],
        {'x': np.abs(array(1, 4, 8, 8))})
# The type of a Clip's input is followed through what stands before it.
for before in (n('LRN', ['x'], ['c'], size=3), n('Where', ['t', 'x', 'x'], ['c']),
               n('Selu', ['x'], ['c']), n('Floor', ['x'], ['c']), n('Sign', ['x'], ['c']),
               n('GlobalLpPool', ['x'], ['c']), n('SpaceToDepth', ['x'], ['c'], blocksize=2),
               n('ReduceL2', ['x'], ['c'], axes=[1]), n('LpNormalization', ['x'], ['c']),
               n('InstanceNormalization', ['x', 's', 's'], ['c']), n('Mean', ['x', 'x'], ['c']),
               n('LogSoftmax', ['x'], ['c']), n('TopK', ['x', 'k'], ['c', 'i']),
               n('Erf', ['x'], ['c'])):
    cases['Clip 10 behind ' + before.op_type] = (
        10, [before, n('Clip', ['c'], ['y'], min=.1, max=2.)], image,
        {'t': np.array(True), 's': array(4), 'k': np.array([2])})
block = helper.make_function(
    'test', 'Block', ['a'], ['b'],
    [n('Softmax', ['a'], ['s'], axis=1), n('Unsqueeze', ['s'], ['b'], axes=[0])],
    [helper.make_opsetid('', 11)])
cases['function 11'] = (11, [n('Block', ['x'], ['y'], domain='test')], image, {}, ('y',),
                        [block])

# What has no equal is refused by name.
refused = {
    'BatchNormalization per position': (
        7, 9, "node 'y': BatchNormalization cannot be lifted to opset 9: it normalises",
        [n('BatchNormalization', ['x', 's', 's', 's', 's'], ['y'], spatial=0)]),
    'Dropout with a mask': (9, 10, "node 'y': Dropout cannot be lifted to opset 10: its mask",
                            [n('Dropout', ['x'], ['y', 'mask']), n('Not', ['mask'], ['z'])]),
    'Clip of an unknown type': (
        10, 11, "node 'clip': Clip cannot be lifted to opset 11: the type of its input",
        [n('Own', ['x'], ['o'], domain='own'), n('Clip', ['o'], ['y'], name='clip', min=0.)]),
    'Resize with unknown scales': (
        10, 11, "node 'y': Resize cannot be lifted to opset 11: its scales",
        [n('Resize', ['x', 's'], ['y'])]),
    'Resize for TensorFlow': (
        11, 13, "node 'y': Resize cannot be lifted to opset 13: tf_half_pixel_for_nn",
        [n('Resize', ['x', 's', 's'], ['y'],
           coordinate_transformation_mode='tf_half_pixel_for_nn')]),
    'GroupNormalization': (18, 21, "node 'y': GroupNormalization cannot be lifted to opset 21",
                           [n('GroupNormalization', ['x', 's', 's'], ['y'], num_groups=2)]),
    'ScaledTanh': (7, 10, 'ScaledTanh cannot be lifted to opset 10: the operator was removed',
                   [n('ScaledTanh', ['x'], ['y'], alpha=1., beta=1.)]),
    'downwards': (13, 11, 'the model is at opset 13, which is above 11',
                  [n('Relu', ['x'], ['y'])]),
    'too far': (13, 99, 'opset 99 is not one of 7 to 25', [n('Relu', ['x'], ['y'])]),
}

# Changes of signature that mean nothing to a node written before: a new attribute or optional
# input whose default is what was meant, or names of inputs and outputs.
harmless = {
    'ArgMax 12', 'ArgMin 12', 'Attention 24', 'Attention 25', 'AveragePool 10',
    'BatchNormalization 14', 'Cast 19', 'Cast 24', 'CastLike 19', 'CastLike 24', 'Constant 11',
    'Constant 12', 'DepthToSpace 11', 'DequantizeLinear 13', 'DequantizeLinear 21',
    'DequantizeLinear 23', 'GRU 14', 'GatherND 12', 'Gemm 11', 'LSTM 14', 'LpPool 18',
    'MaxPool 8', 'MaxPool 10', 'OptionalHasElement 18', 'Pad 18', 'QuantizeLinear 13',
    'QuantizeLinear 19', 'QuantizeLinear 21', 'QuantizeLinear 23', 'RNN 14', 'Reshape 14',
    'Resize 18', 'ScatterElements 16', 'ScatterND 16', 'Shape 15', 'TopK 11',
}


def signature(s):
    return ([(i.name, i.option) for i in s.inputs], [(o.name, o.option) for o in s.outputs],
            {k: (a.type, a.required, a.default_value.SerializeToString())
             for k, a in s.attributes.items()}, s.deprecated)


def check_coverage():
    rules = open(rules_file).read()
    history = {}
    for s in defs.get_all_schemas_with_history():
        if s.domain == '':
            history.setdefault(s.name, []).append(s)
    for name, schemas in sorted(history.items()):
        schemas.sort(key=lambda s: s.since_version)
        for old, new in zip(schemas, schemas[1:]):
            key = '%s %d' % (name, new.since_version)
            if 8 <= new.since_version <= 25 and signature(old) != signature(new):
                has_rule = '{"%s", %d, ' % (name, new.since_version) in rules
                if not has_rule and key not in harmless:
                    check(False, 'the change of %s has a rule' % key)


def check_case(name, case):
    opset, feed = case[0], case[2]
    path = os.path.join(folder, 'case.onnx')
    m = model(*case)
    onnx.save(m, path)
    before = run(path, feed)
    for output, a in zip(m.graph.output, before):  # the checker asks for shapes
        output.CopyFrom(value(output.name, a))
    onnx.save(m, path)
    for target in (10, 11, 13, 18, 21, 25):
        if target <= opset:
            continue
        lifted, error = lift(path, target)
        ok = lifted is not None
        if ok:
            onnx.checker.check_model(lifted, full_check=True)
            try:
                error = difference(before, run(lifted, feed))
                ok = error <= tolerance(before)
            except ort.capi.onnxruntime_pybind11_state.NotImplemented as e:
                print('#', name, 'at', target, e)  # valid, but this runtime has no kernel
            except Exception as e:
                ok, error = False, e
        if not ok:
            check(False, '%s to %d: %s' % (name, target, error))
            return
    check(True, name)


def check_refused(name, opset, target, message, nodes):
    path = os.path.join(folder, 'case.onnx')
    m = model(opset, nodes, {'x': array(1, 4, 8, 8), 's': array(4)})
    if name.startswith('Clip'):
        m.opset_import.append(helper.make_opsetid('own', 1))
    onnx.save(m, path)
    lifted, error = lift(path, target)
    check(lifted is None and message in error, 'refused: %s (%s)' % (name, error))


def dims(shape, path):
    side = 720 if 'candy' in path else 64
    return [d if isinstance(d, int) and d > 0 else (1 if i == 0 else side)
            for i, d in enumerate(shape)]


def check_asset(path):
    name = os.path.basename(path)
    m = onnx.load(path)
    opset = next(i.version for i in m.opset_import if i.domain in ('', 'ai.onnx'))
    session = ort.InferenceSession(path, providers=['CPUExecutionProvider'])
    types = {'tensor(float)': np.float32, 'tensor(float16)': np.float16}
    feed = {i.name: np.abs(array(*dims(i.shape, path), dtype=types[i.type]))
            for i in session.get_inputs()}
    before = run(path, feed)
    for target in (13, 25):
        if target <= opset:
            continue
        lifted, error = lift(path, target)
        if lifted:
            onnx.checker.check_model(lifted)
            error = difference(before, run(lifted, feed))
        check(lifted is not None and error <= tolerance(before),
              '%s from %d to %d: %s' % (name, opset, target, error))


check_coverage()
for name, case in cases.items():
    check_case(name, case)
for name, case in refused.items():
    check_refused(name, *case)
for path in sorted(glob.glob(os.path.join(assets, 'models', '*.onnx'))):
    check_asset(path)
sys.exit(failures != 0)
