"""Small pictures by Pillow and FITS files by astropy, with the pixels that these read: python3 golden.py

Writes the files beside itself and golden.json: per file the shape (space, bands) and the values in C order.
"""
import gzip
import json
import numpy as np
from PIL import Image
from astropy.io import fits

y, x = np.mgrid[0:6, 0:7]
smooth = np.stack([20 + 30 * x, 240 - 30 * y, 100 + 10 * x + 5 * y], -1).astype(np.uint8)
answer = {}


def note(name, values, tolerance=0):
    values = np.asarray(values, np.float64)
    answer[name] = dict(shape=list(values.shape), tolerance=tolerance,
                        values=[None if np.isnan(v) else float(v) for v in values.astype(np.float32).ravel()])


def picture(name, image, tolerance=0, **options):
    image.save(name, **options)
    back = Image.open(name)
    if back.mode in ("P", "RGBA"):
        back = back.convert("RGBA").convert("RGB") if back.mode == "P" else Image.merge("RGB", back.split()[:3])
    a = np.asarray(back)
    scale = 65535 if a.dtype != np.uint8 else 255
    a = a.astype(np.float64) / scale
    note(name, a if a.ndim == 3 else a[..., None], tolerance)


picture("baseline.jpg", Image.fromarray(smooth), 2.1 / 255, quality=95, subsampling=0)
picture("progressive.jpg", Image.fromarray(smooth), 2.1 / 255, quality=95, subsampling=0, progressive=True)
picture("grey.jpg", Image.fromarray(smooth[..., 0]), 1.1 / 255, quality=95)
picture("colour.png", Image.fromarray(smooth))
picture("grey.png", Image.fromarray(smooth[..., 0]))
picture("deep.png", Image.fromarray((smooth[..., 0].astype(np.uint16) * 257 + 3)))
picture("palette.png", Image.fromarray(smooth).quantize(16))
picture("transparent.png", Image.fromarray(np.dstack([smooth, np.full((6, 7), 128, np.uint8)]), "RGBA"))


def fits_file(name, hdus, values):
    fits.HDUList(hdus).writeto(name, overwrite=True, output_verify="silentfix")
    note(name, values)


plane = np.arange(42, dtype=np.float64).reshape(6, 7) - 7.5
with_nan = plane.astype(np.float32)
with_nan[2, 3] = np.nan
fits_file("plane.fits", [fits.PrimaryHDU(with_nan)], with_nan[..., None])
cube = np.stack([plane, 10 * plane, plane ** 2]).astype(np.float32)
fits_file("cube.fits", [fits.PrimaryHDU(cube)], np.moveaxis(cube, 0, -1))
fits_file("units.fits", [fits.PrimaryHDU(), fits.ImageHDU(plane.astype(np.float32)), fits.ImageHDU((3 * plane).astype(np.float32))],
          np.stack([plane, 3 * plane], -1))
stored = np.arange(42, dtype=np.int16).reshape(6, 7)
hdu = fits.PrimaryHDU(stored)
hdu.header["BLANK"] = 5
hdu.header["BSCALE"] = 0.5
hdu.header["BZERO"] = -3.0
fits.HDUList([hdu]).writeto("scaled.fits", overwrite=True)
back = fits.open("scaled.fits")[0].data
note("scaled.fits", back[..., None])
fits_file("spectrum.fits", [fits.PrimaryHDU(np.linspace(-1, 1, 9))], np.linspace(-1, 1, 9)[:, None])
with gzip.GzipFile("plane.fits.gz", "wb", mtime=0) as f:
    f.write(open("plane.fits", "rb").read())
note("plane.fits.gz", with_nan[..., None])
json.dump(answer, open("golden.json", "w"))
