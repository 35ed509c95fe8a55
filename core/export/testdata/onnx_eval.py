#!/usr/bin/env python3
"""Checks and computes the ONNX files of a folder: NAME.onnx of the samples NAME.in gives NAME.out.

Debian's python3-onnx checks the file and infers every shape; it computes nothing, so the operators that are used are
written here in numpy, in float64, from ONNX's documentation of them. Values are raw, samples [batch, bands, ...] float32
and representations float64.  python3 onnx_eval.py FOLDER
"""
import glob, math, sys
import numpy as np
import onnx, onnx.numpy_helper, onnx.shape_inference

def windows(x, kernel, strides, pads, dilations, fill):
    """[batch, channels, space..., kernel...]: what each window of a convolution or pooling sees."""
    n = len(kernel)
    x = np.pad(x, [(0, 0), (0, 0)] + [(pads[i], pads[i + n]) for i in range(n)], constant_values=fill)
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilations)]
    x = np.lib.stride_tricks.sliding_window_view(x, spans, axis=tuple(range(2, 2 + n)))
    return x[(slice(None), slice(None)) + tuple(slice(None, None, s) for s in strides) + tuple(slice(None, None, d) for d in dilations)]

def conv(x, w, b=None, kernel_shape=None, strides=None, pads=None, dilations=None, group=1):
    n = len(kernel_shape); assert list(w.shape[2:]) == kernel_shape
    seen = windows(x, kernel_shape, strides, pads, dilations, 0)
    space = "xyz"[:n]; taps = "uvw"[:n]
    parts = [np.einsum(f"nc{space}{taps},oc{taps}->no{space}", s, k, optimize=True) for s, k in zip(np.split(seen, group, 1), np.split(w, group, 0))]
    y = np.concatenate(parts, 1)
    return y if b is None else y + b.reshape((1, -1) + (1,) * n)

def pool(reduce, fill):
    def f(x, kernel_shape=None, strides=None, pads=None, count_include_pad=0):
        assert fill or count_include_pad == 1
        n = len(kernel_shape)
        return reduce(windows(x, kernel_shape, strides, pads, [1] * n, fill), axis=tuple(range(-n, 0)))
    return f

def channels(v, x): return v.reshape((1, -1) + (1,) * (x.ndim - 2))

def batch_norm(x, scale, shift, mean, var, epsilon=1e-5):
    return (x - channels(mean, x)) / np.sqrt(channels(var, x) + epsilon) * channels(scale, x) + channels(shift, x)

def instance_norm(x, scale, shift, epsilon=1e-5):
    axes = tuple(range(2, x.ndim))
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + epsilon) * channels(scale, x) + channels(shift, x)

def layer_norm(x, scale, shift=0, axis=-1, epsilon=1e-5):
    assert axis == -1
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + epsilon) * scale + shift

def softmax(x, axis=-1):
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)

def cut(x, start, end, axes=None):
    at = [slice(None)] * x.ndim
    for i, (s, e) in enumerate(zip(start, end)): at[int(axes[i]) if axes is not None else i] = slice(int(s), int(e))
    return x[tuple(at)]

def gemm(a, b, c=0, transB=0): return a @ (b.T if transB else b) + c
def reshape(x, shape): return x.reshape([x.shape[i] if n == 0 else int(n) for i, n in enumerate(shape)])

OPERATORS = {
    "Conv": conv, "MaxPool": pool(np.max, -np.inf), "AveragePool": pool(np.mean, 0), "BatchNormalization": batch_norm, "InstanceNormalization": instance_norm,
    "LayerNormalization": layer_norm, "Relu": lambda x: np.maximum(x, 0), "LeakyRelu": lambda x, alpha: np.where(x < 0, alpha * x, x), "Sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "Tanh": np.tanh, "Erf": np.vectorize(math.erf, otypes=[float]), "Softmax": softmax, "Add": np.add, "Mul": np.multiply, "Div": np.divide, "Max": np.maximum,
    "MatMul": np.matmul, "Gemm": gemm, "Transpose": lambda x, perm: x.transpose(perm), "Reshape": reshape, "Concat": lambda *x, axis: np.concatenate(x, axis), "Slice": cut,
    "ReduceMean": lambda x, axes, keepdims: x.mean(tuple(axes), keepdims=bool(keepdims)), "ReduceL2": lambda x, axes, keepdims: np.sqrt((x * x).sum(tuple(axes), keepdims=bool(keepdims))),
    "Shape": lambda x: np.array(x.shape), "Expand": lambda x, shape: x * np.ones([int(n) for n in shape]), "Identity": lambda x: x,
}

for path in sorted(glob.glob(sys.argv[1] + "/*.onnx")):
    m = onnx.load(path)
    onnx.checker.check_model(path, full_check=True)
    inferred = onnx.shape_inference.infer_shapes(m, check_type=True, strict_mode=True, data_prop=True)
    sizes = {v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in list(inferred.graph.value_info) + list(inferred.graph.output)}
    (taken,), (given,) = m.graph.input, m.graph.output
    assert (taken.name, given.name) == ("input", "representation")
    shape = [d.dim_value for d in taken.type.tensor_type.shape.dim]
    values = {t.name: onnx.numpy_helper.to_array(t) for t in m.graph.initializer}
    values = {k: v.astype(np.float64) if v.dtype == np.float32 else v for k, v in values.items()}
    values["input"] = np.fromfile(path[:-4] + "in", "<f4").reshape([-1] + shape[1:]).astype(np.float64)
    for n in m.graph.node:
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in n.attribute}
        y = OPERATORS[n.op_type](*[values[i] for i in n.input], **attributes)
        assert n.output[0] not in values
        values[n.output[0]] = y
        if n.output[0] in sizes:
            for want, got in zip(sizes[n.output[0]], y.shape, strict=True): assert isinstance(want, str) or want == got, (n.output[0], sizes[n.output[0]], y.shape)
    y = values["representation"]
    assert y.ndim == 2 and y.shape[0] == len(values["input"]) and y.shape[1] == given.type.tensor_type.shape.dim[1].dim_value
    y.astype("<f8").tofile(path[:-4] + "out")
    print(path.split("/")[-1], "opset", m.opset_import[0].version, "ir", m.ir_version, len(m.graph.node), "nodes", list(y.shape), {p.key: p.value for p in m.metadata_props}.get("experiment"))
