#!/usr/bin/env python3
"""Loads the safetensors files of a folder into torchvision's own networks: NAME.safetensors and the samples NAME.in give
NAME.out, representations in float64, and NAME.off, how far PyTorch's own float32 is from them.

Then it writes the network's state dictionary as MoCo's authors do, NAME.pth.tar, and in PyTorch's older format.
Values are raw, samples [batch, bands, ...] float32.  python3 torchvision_load.py FOLDER
"""
import collections, glob, json, struct, sys
import numpy as np
import torch, torch.nn as nn, torchvision

def read(path):
    """The arrays and metadata of a safetensors file, by its specification."""
    b = open(path, "rb").read()
    n, = struct.unpack("<Q", b[:8])
    header = json.loads(b[8:8 + n]); metadata = header.pop("__metadata__")
    kinds = {"F32": np.float32, "I64": np.int64}
    return {k: torch.from_numpy(np.frombuffer(b[8 + n + e["data_offsets"][0]:8 + n + e["data_offsets"][1]], kinds[e["dtype"]]).reshape(e["shape"]).copy()) for k, e in header.items()}, metadata

def first(conv, bands): return nn.Conv2d(bands, conv.out_channels, conv.kernel_size, conv.stride, conv.padding, bias=conv.bias is not None)

def network(name, shape):
    """torchvision's network with its first layer for other bands, and without the last layer."""
    if name.startswith("resnet"):
        net = getattr(torchvision.models, name)(); net.fc = nn.Identity(); net.conv1 = first(net.conv1, shape[0])
    elif name == "vit":
        net = torchvision.models.VisionTransformer(image_size=shape[1], patch_size=8, num_layers=12, num_heads=3, hidden_dim=192, mlp_dim=768)
        net.heads = nn.Identity(); net.conv_proj = first(net.conv_proj, shape[0])
    elif name == "convnext":
        from torchvision.models.convnext import CNBlockConfig, ConvNeXt
        widths = [40, 80, 160, 320, None]
        net = ConvNeXt([CNBlockConfig(widths[i], widths[i + 1], n) for i, n in enumerate([2, 2, 6, 2])])
        net.classifier[2] = nn.Identity(); net.features[0][0] = first(net.features[0][0], shape[0])
    elif name == "mlp":
        net = nn.Sequential(*list(torchvision.ops.MLP(shape[0], [64, 32, 1], norm_layer=nn.BatchNorm1d))[:-2])  # without the last linear layer, and its dropout
    return net.eval()

torch.set_num_threads(2)
for path in sorted(glob.glob(sys.argv[1] + "/*.safetensors")):
    name = path.split("/")[-1].split(".")[0]
    state, metadata = read(path)
    assert metadata["format"] == "pt", metadata
    shape = json.loads(metadata["input"])
    net = network(name, shape)
    net.load_state_dict(state)  # strict
    x = torch.from_numpy(np.fromfile(path[:-11] + "in", "<f4").reshape([-1] + shape))
    with torch.no_grad():
        low = net(x).flatten(1).double()
        y = net.double()(x.double()).flatten(1); net.float()
    y.numpy().astype("<f8").tofile(path[:-11] + "out")
    np.array([float((low - y).norm() / y.norm())], "<f8").tofile(path[:-11] + "off")
    print(name, list(x.shape), "->", list(y.shape), "float32 differs by %.1e" % float((low - y).norm() / y.norm()))

    moco = collections.OrderedDict()
    for k, v in net.state_dict().items():
        moco["module.encoder_q." + k], moco["module.encoder_k." + k] = v, torch.zeros_like(v)
    moco["module.encoder_q.fc.0.weight"] = moco["module.encoder_k.fc.0.weight"] = torch.ones(2, 2)
    moco["module.queue"], moco["module.queue_ptr"] = torch.ones(2, 3), torch.tensor([1])
    checkpoint = {"epoch": 200, "arch": name, "state_dict": moco, "optimizer": torch.optim.SGD(net.parameters(), 0.1).state_dict()}
    torch.save(checkpoint, path[:-11] + "pth.tar")
    torch.save(checkpoint, path[:-11] + "legacy.pth", _use_new_zipfile_serialization=False)
