"""Tile-compressed images, and what astropy reads of them.

    python3 golden.py             with astropy 8 (from PyPI): writes small.fits.gz and golden.json
    python3 golden.py check       with another, such as Debian's 5.2.1: asserts that it reads the same where there is a value
    python3 golden.py DATA        with Debian's: writes kids.json, from the folder of the project's test data

small.fits.gz holds an image a unit. golden.json says of each the CRC-32 of its values as little-endian float64, NaN being
0x7ff8000000000000, and of a few small ones the values. kids.json says of each band the CRC-32 of each tile's values as
little-endian float32. astropy 5.2.1 reads with cfitsio, and never asks it for NaN, so it does not write the small ones.
"""
import gzip
import io
import json
import sys
import warnings
import zlib
from pathlib import Path

import numpy as np
from astropy.io import fits

here = Path(__file__).parent
warnings.simplefilter("ignore")
r = np.random.default_rng(5)


def sky(h, w, dtype, noise=6.0):
    """Stars, a gradient and noise, so that every bit plane has something in it."""
    y, x = np.mgrid[0:h, 0:w]
    image = 90 + 0.7 * x - 0.4 * y + r.normal(0, noise, (h, w))
    for _ in range(6):
        cy, cx, a = r.uniform(0, h), r.uniform(0, w), r.uniform(50, 3000)
        image += a * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 6)
    if dtype == np.uint8:
        return np.clip(image, 0, 255).astype(dtype)
    return np.round(image).astype(dtype) if np.dtype(dtype).kind in "iu" else image.astype(dtype)


def images():
    units = [fits.PrimaryHDU()]

    def add(name, data, **options):
        units.append(fits.CompImageHDU(data, name=name.upper(), **options))

    for h, w, tile, scales in ((21, 34, None, (0, 3)), (16, 16, None, (0, 40)), (40, 23, (9, 23), (0, 3, 40)), (5, 70, None, (0, 3)), (37, 37, (11, 13), (0, 40))):
        for scale in scales:
            for smooth in (0, 1)[: 1 + (scale > 0)]:
                add(f"hcompress {h} {w} scale {scale} smooth {smooth}", sky(h, w, np.int16 if h % 2 else np.int32),
                    compression_type="HCOMPRESS_1", tile_shape=tile or (h, w), hcomp_scale=scale, hcomp_smooth=smooth)
    add("hcompress negative", -3 * sky(24, 24, np.int16), compression_type="HCOMPRESS_1", tile_shape=(24, 24), hcomp_scale=0)
    add("hcompress large", (1e5 * sky(24, 24, np.float64)).astype(np.int32), compression_type="HCOMPRESS_1", tile_shape=(24, 24), hcomp_scale=0)
    add("hcompress zero", np.zeros((12, 12), np.int16), compression_type="HCOMPRESS_1", tile_shape=(12, 12), hcomp_scale=0)
    add("hcompress bytes", sky(20, 20, np.uint8), compression_type="HCOMPRESS_1", tile_shape=(20, 20), hcomp_scale=0)
    for kind in ("RICE_1", "GZIP_1", "GZIP_2"):
        for dtype in (np.uint8, np.int16, np.int32):
            add(f"{kind} {np.dtype(dtype)}", sky(3, 41, dtype), compression_type=kind)
    add("plio", np.where(sky(8, 50, np.int16) > 100, 3, 0).astype(np.int16) + np.eye(8, 50, dtype=np.int16) * 70, compression_type="PLIO_1")
    add("plio large", np.where(sky(8, 50, np.int32) > 150, 9000000, 0).astype(np.int32) + np.eye(8, 50, dtype=np.int32), compression_type="PLIO_1")
    add("rice noise", r.integers(-2 ** 31, 2 ** 31 - 1, (4, 40)).astype(np.int32), compression_type="RICE_1")
    add("rice flat", np.full((4, 70), -7, np.int16), compression_type="RICE_1")
    add("rice blank", sky(4, 30, np.int16), compression_type="RICE_1")
    units[-1].header["BLANK"] = int(units[-1].data[1, 2])
    add("rice cube", np.stack([sky(8, 12, np.int16) for _ in range(3)]), compression_type="RICE_1", tile_shape=(2, 4, 5))
    for method, number in (("none", -1), ("1", 1), ("2", 2)):
        for kind in ("HCOMPRESS_1", "RICE_1", "GZIP_1", "GZIP_2"):
            for dtype in (np.float32, np.float64):
                data = sky(22, 30, dtype)
                data[3, 4:9] = 0
                data[11, 5] = np.nan
                add(f"{kind} {np.dtype(dtype)} dither {method}", data, compression_type=kind, tile_shape=(8, 30), quantize_method=number, quantize_level=4, dither_seed=9999)
    for smooth in (0, 1):
        add(f"hcompress lossy floats {smooth}", sky(32, 50, np.float32), compression_type="HCOMPRESS_1", tile_shape=(16, 50),
            hcomp_scale=2 + smooth, hcomp_smooth=smooth, quantize_method=1, quantize_level=4, dither_seed=77)
    for kind in ("GZIP_1", "GZIP_2"):
        for dtype in (np.float32, np.float64):
            add(f"{kind} {np.dtype(dtype)} kept", sky(9, 20, dtype), compression_type=kind, quantize_level=0)
    add("rice float constant", np.full((6, 30), 2.5, np.float32), compression_type="RICE_1")  # cannot be made integers: in a column of its own
    add("rice float long", sky(1, 12000, np.float32), compression_type="RICE_1", tile_shape=(1, 12000), quantize_method=1, dither_seed=5, quantize_level=1)
    return units


def read(hdu):
    values = hdu.data.astype("<f8")
    values[np.isnan(values)] = np.nan
    values.view("<u8")[np.isnan(values)] = 0x7FF8000000000000
    return values


def write():
    plain = io.BytesIO()
    fits.HDUList(images()).writeto(plain)
    golden = []
    with fits.open(io.BytesIO(plain.getvalue())) as f:
        for hdu in f[1:]:
            values = read(hdu)
            golden.append(dict(name=hdu.name, shape=list(values.shape), bitpix=hdu.header["BITPIX"], nan=int(np.isnan(values).sum()), crc=zlib.crc32(values.tobytes())))
            if hdu.name in ("RICE BLANK", "PLIO", "RICE CUBE"):
                golden[-1]["values"] = [None if np.isnan(v) else v for v in values.ravel()]
            print(f"{hdu.name}: {np.nanmin(values):g}…{np.nanmax(values):g}, {golden[-1]['nan']} NaN")
    with gzip.GzipFile(here / "small.fits.gz", "wb", mtime=0) as z:
        z.write(plain.getvalue())
    (here / "golden.json").write_text("[\n" + ",\n".join(json.dumps(g) for g in golden) + "\n]\n")


def check():
    with fits.open(here / "small.fits.gz") as f:
        for hdu, want in zip(f[1:], json.loads((here / "golden.json").read_text())):
            if want["nan"] == 0:
                assert zlib.crc32(read(hdu).tobytes()) == want["crc"], hdu.name


def kids(data):
    real = {}
    for path in sorted((Path(data) / "kids_viking_9band").glob("*.fits")):
        with fits.open(path) as f:
            values = f[1].data
            real[path.name] = [zlib.crc32(values[i:i + 16].astype("<f4").tobytes()) for i in range(0, len(values), 16)]
    (here / "kids.json").write_text("{\n" + ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in real.items()) + "\n}\n")


if len(sys.argv) == 1:
    write()
elif sys.argv[1] == "check":
    check()
else:
    kids(sys.argv[1])
