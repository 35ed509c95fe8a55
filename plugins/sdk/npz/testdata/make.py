#!/usr/bin/env python3
"""Make arrays.npz, what NumPy 1.24 saves of every type that is read and of some that are not. Run in this folder: python3 make.py"""
import numpy as np

x = np.array([[1, 2, 3], [250, 0, 7]])
table = np.array([(1.5, 7, "galaxy", [1, 2], True), (-2.25, -9, "star", [3, 4], False)],
                 dtype=[("x", "<f8"), ("n", ">i4"), ("kind", "U6"), ("pair", "<f4", (2,)), ("ok", "?")])
arrays = {t: x.astype(t) for t in ("u1", "<u2", ">u2", "<u4", "<u8", "<i2", ">i4", "<i8", "<f4", ">f8", "?")}
arrays |= {"i1": (x - 2).clip(-128, 127).astype("i1"), "half": x.astype("f2"), "complex": x.astype(complex), "time": np.array(["2020-01-01"], "M8[D]"),
           "texts": np.array(["g", "größe", ""]), "letters": np.array([b"ab", b"c"]), "table": table, "scalar": np.float32(2.5), "none": np.zeros((0, 3)),
           "fortran": np.asfortranarray(x), "emptytable": table[:0]}
np.savez_compressed("arrays.npz", **arrays)
np.savez("objects.npz", objects=np.array([{}], object))
