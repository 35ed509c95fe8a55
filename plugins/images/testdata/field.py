"""A small field in files of every kind, and stamps that astropy and numpy cut from it: /usr/bin/python3 field.py [DATA]

Writes field_*.fits, field.csv and field.json beside itself. field.json says of each object, by name, the first pixel of its
stamp and the values of a few of them in [row, column, band], null where NaN, and the CRC-32 of all of them as little-endian
float32, NaN being 0x7fc00000. With DATA, the folder of the project's test data, it also writes field_kids.json: the same of
objects of the real field, without values, and where in the stamp the brightest pixel of r is.
"""
import csv
import json
import math
import sys
import warnings
import zlib
from pathlib import Path

import numpy as np
from astropy.io import fits

here = Path(__file__).parent
warnings.simplefilter("ignore")


def begin(position, origin, size):
    """The first pixel: the middle of the stamp, (size − 1)/2 after it, is as near to the position as can be."""
    return math.floor(position - origin - (size - 1) / 2 + 0.5)


def stamp(planes, x, y, size):
    """[row, column, band] as float32, or None outside."""
    if min(x, y) < 0 or y + size > planes[0].shape[0] or x + size > planes[0].shape[1]:
        return None
    return np.stack([p[y:y + size, x:x + size] for p in planes], -1).astype("<f4")


def crc(a):
    bits = np.ascontiguousarray(a).view("<u4").copy()
    bits[np.isnan(a)] = 0x7FC00000
    return zlib.crc32(bits.tobytes())


def small():
    r = np.random.default_rng(3)
    height, width, size = 52, 61, 9
    stars = [(20.0, 11.3), (30.4, 25.0), (7.0, 41.6), (50.2, 30.1), (44.0, 44.0), (3.0, 20.0), (58.9, 10.0), (22.0, 24.0)]  # from 1
    y, x = np.mgrid[1:height + 1, 1:width + 1]
    planes = [r.normal(0, 1, (height, width)) + sum(100 * (k + 1) * np.exp(-((x - a) ** 2 + (y - b) ** 2) / 3) for a, b in stars) for k in range(3)]
    fits.PrimaryHDU(planes[0].astype(np.float32)).writeto(here / "field_g.fits", overwrite=True)
    stored = np.round(planes[1] * 2).astype(np.int16)
    stored[24, 30] = -32768
    hdu = fits.ImageHDU(stored)
    hdu.header["BSCALE"], hdu.header["BZERO"], hdu.header["BLANK"] = 0.5, 1.5, -32768  # exact in any precision
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(np.zeros((3, 3))), hdu]).writeto(here / "field_r.fits", overwrite=True)
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(planes[2].astype(np.float32), compression_type="HCOMPRESS_1", tile_size=(17, 8), hcomp_scale=1, quantize_method=1, dither_seed=7)]).writeto(here / "field_i.fits", overwrite=True)
    mask = np.zeros((height, width), np.int32)
    mask[23, 21], mask[24, 22] = 2 ** 30 + 1, 2 ** 30 + 4
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(mask, compression_type="RICE_1", tile_size=(61, 4))]).writeto(here / "field_mask.fits", overwrite=True)
    with open(here / "field.csv", "w") as f:
        f.write("name,x,y,a,b,kind\n" + "".join(f"s{i},{a},{b},{2 + i},{1 + i if i != 2 else ''},{'EG'[i % 2]}\n" for i, (a, b) in enumerate(stars)))
    planes = [fits.getdata(here / "field_g.fits"), fits.getdata(here / "field_r.fits", 2), fits.getdata(here / "field_i.fits", 1)]
    golden = {}
    for i, (a, b) in enumerate(stars):
        x, y = begin(a, 1, size), begin(b, 1, size)
        s = stamp(planes, x, y, size)
        golden[f"s{i}"] = None if s is None else dict(x=x, y=y, crc=crc(s), values=[None if np.isnan(v) else float(v) for v in s[3:6, 4].ravel()])
    (here / "field.json").write_text(json.dumps(golden, indent=1))


def kids(data):
    folder, size = Path(data) / "kids_viking_9band", 48
    planes = [fits.getdata(folder / f"{b}.fits", 1) for b in "u g r i Z Y J H Ks".split()]
    golden = {}
    rows = list(csv.DictReader(open(folder / "sources_measured.csv")))
    for row in sorted(rows, key=lambda row: -float(row["flux_r"]))[:120:4] + rows[:2] + rows[-2:]:
        x, y = begin(float(row["x0"]), 0, size), begin(float(row["y0"]), 0, size)
        s = stamp(planes, x, y, size)
        if s is None:
            golden[row["id"]] = None
            continue
        peak = np.unravel_index(s[:, :, 2].argmax(), (size, size))
        golden[row["id"]] = dict(x=x, y=y, crc=crc(s), peak=[int(p) for p in peak])
    (here / "field_kids.json").write_text("{\n" + ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in golden.items()) + "\n}\n")
    near = [max(abs(p - (size - 1) / 2) for p in g["peak"]) <= 1.5 for g in golden.values() if g]
    outside = sum(min(x, y) < 0 or max(x, y) + size > 2600 for x, y in ((begin(float(r["x0"]), 0, size), begin(float(r["y0"]), 0, size)) for r in rows))
    print(f"{outside} of {len(rows)} stamps leave the field; {sum(near)} of {len(near)} brightest pixels are within 1.5 pixels of the middle")


small()
if len(sys.argv) > 1:
    kids(sys.argv[1])
