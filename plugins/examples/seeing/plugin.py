"""Seeing: what the air does to images, with scipy. seeing.blur is another night; seeing.warp bends images a little."""

import pathlib

import asterism_plugin as asterism  # before everything that prints when it is imported
import numpy as np
from scipy import ndimage

HERE = pathlib.Path(__file__).parent


def spread(pixels, sigma):
    """pixels [y, x, bands] through a point spread function of two Gaussians: a core, and a tenth of the light in wings three
    times as wide, as one fits to stars. The edges are continued with their own values."""
    core, wings = (ndimage.gaussian_filter(pixels, (s, s, 0), mode="nearest", output=np.float64) for s in (sigma, 3 * sigma))
    return 0.9 * core + 0.1 * wings


@asterism.augmentation(
    "blur",
    revision=1,
    summary="Observes the object through a worse night: one more blur, drawn for each sample.",
    schema=(HERE / "blur.cue").read_text(encoding="utf-8"),
)
class Blur:
    def __init__(self, config):
        self.low, self.high = config["fwhm"]
        if self.low > self.high:
            raise asterism.FieldError("fwhm", f"{self.low} is more than {self.high}", "write the better night first")

    def plan(self, facts):
        if facts.flux == asterism.STRETCHED:
            raise asterism.ConfigError("blurs light, and these pixels were stretched", "put it before what stretches, or leave it out")
        if facts.pixel_scale <= 0:
            raise asterism.ConfigError("does not know how large a pixel is on the sky", "use data that say their pixel scale")
        return asterism.AugmentationPlan(leaves=facts, ranks=[2])

    def apply(self, sample):
        fwhm = sample.random.between(self.low, self.high)
        sigma = fwhm / 2.3548 / sample.facts.pixel_scale
        known = np.isfinite(sample.input)
        if known.all():
            sample.out[...] = spread(sample.input, sigma)
            return
        # The mean over what is known: pixels without a measurement stay without one and spoil no other.
        light, weight = spread(np.where(known, sample.input, 0), sigma), spread(known.astype(np.float32), sigma)
        sample.out[...] = np.where(known, light / np.where(known, weight, 1), np.nan)


@asterism.augmentation(
    "warp",
    revision=1,
    summary="Bends the sample smoothly, along each of its axes, and conserves its brightness.",
    schema=(HERE / "warp.cue").read_text(encoding="utf-8"),
)
class Warp:
    def __init__(self, config):
        self.shift, self.scale = config["shift"], config["scale"]

    def plan(self, facts):
        return asterism.AugmentationPlan(leaves=facts, ranks=[1, 2, 3])

    def apply(self, sample):
        space = sample.input.shape[:-1]
        noise = sample.random.normals(len(space) * int(np.prod(space))).reshape(len(space), *space)
        # Smooth noise, whose root mean square is made to be the shift.
        field = np.stack([ndimage.gaussian_filter(n, self.scale, mode="wrap") for n in noise])
        field *= self.shift / max(np.sqrt(np.mean(field**2)), 1e-9)
        places = np.indices(space) + field
        for band in range(sample.input.shape[-1]):
            ndimage.map_coordinates(sample.input[..., band], places, output=sample.out[..., band], order=1, mode="nearest")


asterism.serve("seeing", "1.0.0")
