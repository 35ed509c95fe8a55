"""Compares the augmentations with what is known of them: python3 -m unittest"""

import unittest

import asterism_plugin as asterism
import numpy as np

import plugin


def apply(augmentation, pixels, id=0, pixel_scale=0.4):
    """One sample through an augmentation, with the draws of this id."""
    s = asterism.Sample(asterism.key.Key(1, "test"), 0, id)
    s.input = np.asarray(pixels, np.float32)
    s.input.flags.writeable = False
    s.out = np.full(s.input.shape, 7, np.float32)
    s.facts = asterism.SampleFacts(shape=s.input.shape, pixel_scale=pixel_scale)
    augmentation.apply(s)
    return s.out


def variance(image):
    """Of the light along the first axis."""
    y = np.arange(image.shape[0])
    profile = image.sum(axis=tuple(range(1, image.ndim)), dtype=np.float64)
    mean = (profile * y).sum() / profile.sum()
    return (profile * (y - mean) ** 2).sum() / profile.sum()


class TestBlur(unittest.TestCase):
    def setUp(self):
        self.star = np.zeros((129, 129, 2), np.float32)
        self.star[64, 64] = 1000, 10

    def test_light_is_conserved_and_widths_add(self):
        out = apply(plugin.Blur({"fwhm": [1.2, 1.2]}), self.star)
        np.testing.assert_allclose(out.sum(axis=(0, 1)), [1000, 10], rtol=1e-4)
        sigma = 1.2 / 2.3548 / 0.4
        # 0.9 of the light with σ², a tenth with 9 σ²; sampling in pixels and ending the wings at 4 σ take their share.
        self.assertAlmostEqual(variance(out), (0.9 + 0.1 * 9) * sigma**2, delta=0.02 * sigma**2)
        again = apply(plugin.Blur({"fwhm": [1.2, 1.2]}), out)
        self.assertAlmostEqual(variance(again) / variance(out), 2, delta=0.01)

    def test_each_sample_has_its_night(self):
        blur = plugin.Blur({"fwhm": [0.4, 2.0]})
        widths = [variance(apply(blur, self.star, id)) for id in range(20)]
        self.assertEqual(len(set(widths)), 20)
        self.assertLess(min(widths) * 4, max(widths))

    def test_missing_pixels_spoil_no_others(self):
        flat = np.full((20, 20, 1), 3, np.float32)
        flat[5, 5:9] = np.nan
        out = apply(plugin.Blur({"fwhm": [1, 1]}), flat)
        np.testing.assert_array_equal(np.isnan(out), np.isnan(flat))
        np.testing.assert_allclose(out[np.isfinite(out)], 3, rtol=1e-6)

    def test_what_it_refuses(self):
        blur = plugin.Blur({"fwhm": [1, 1]})
        for facts in (asterism.SampleFacts(shape=[8, 8, 1]), asterism.SampleFacts(shape=[8, 8, 1], pixel_scale=1, flux=asterism.STRETCHED)):
            with self.assertRaises(asterism.ConfigError):
                blur.plan(facts)
        with self.assertRaises(asterism.FieldError) as e:
            plugin.Blur({"fwhm": [2, 1]})
        self.assertEqual(e.exception.field, "fwhm")


class TestWarp(unittest.TestCase):
    def test_of_each_rank(self):
        warp = plugin.Warp({"shift": 0.5, "scale": 4})
        for space in ((64,), (32, 24), (12, 10, 9), (1,), (1, 1, 1)):
            ramp = np.indices(space).sum(axis=0)[..., None] * np.array([1.0, -2.0])
            out = apply(warp, ramp)
            # On a ramp the change of the value is the way that a pixel was moved: both bands moved alike.
            np.testing.assert_allclose(-2 * out[..., 0], out[..., 1], atol=1e-3)
            if min(space) > 8:
                moved = (out - ramp)[..., 0][tuple(slice(3, -3) for _ in space)]
                self.assertLess(0.1, np.sqrt((moved**2).mean()))
                self.assertLess(np.sqrt((moved**2).mean()), 3)

    def test_brightness_is_conserved(self):
        flat = np.full((16, 16, 1), 5, np.float32)
        np.testing.assert_array_equal(apply(plugin.Warp({"shift": 3, "scale": 1}), flat), flat)

    def test_nothing_moves_without_a_shift(self):
        image = np.random.default_rng(1).normal(size=(9, 8, 3)).astype(np.float32)
        np.testing.assert_allclose(apply(plugin.Warp({"shift": 1e-9, "scale": 2}), image), image, atol=1e-6)


if __name__ == "__main__":
    unittest.main()
