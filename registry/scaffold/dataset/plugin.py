"""Acme is a plugin for Asterism with one dataset."""

import hashlib
import pathlib

import asterism_plugin as asterism  # before everything that prints when it is imported
import numpy as np


@asterism.dataset(
    "folder",
    revision=1,  # raise it whenever results change for the same configuration
    summary="Reads a folder of CSV files, one object each.",
    schema=pathlib.Path(__file__).with_name("schema.cue").read_text(encoding="utf-8"),
)
class Folder:
    def __init__(self, config):
        self.root, self.bands = config["root"], config["bands"]  # the schema has checked them

    def open(self):
        """Looks at the data without reading it all.

        A mistake of the user is an error that says what to do: a FieldError is shown at the line of the experiment where
        the field stands.
        """
        root = pathlib.Path(self.root)
        if not root.is_dir():
            raise asterism.FieldError("root", f"there is no folder {root}", "give the folder of the CSV files")
        self.files = sorted(root.glob("*.csv"))  # sorted: record i is the same one every time
        if not self.files:
            raise asterism.DataError(f"no file in {root} ends in .csv", "check root")
        first = self.read(0)
        if first.bad:
            raise asterism.DataError(first.bad, "correct the file, or take it out")
        # Stored data are used again as long as the fingerprint is the same: it covers all that records depend on.
        found = [(str(f), f.stat().st_size, f.stat().st_mtime_ns) for f in self.files]
        return asterism.Catalogue(
            count=len(self.files),
            fields=[asterism.Field(name="class", type=asterism.Field.STRING, doc="the file's name up to the first -")],
            # The shape is the common one; a record may have another.
            facts=asterism.SampleFacts(shape=first.pixels.shape, bands=self.bands, flux=asterism.LINEAR),
            dtype=asterism.F32,
            fingerprint=hashlib.sha256(repr(found).encode()).hexdigest(),
        )

    def read(self, i):
        """Gives record i."""
        return self.read_file(self.files[i])

    def read_file(self, path):
        """Gives one file that the user names, for predictions, exactly as read gives it.

        A record that cannot be had is bad, and named with the file and the reason; an exception would end the run.
        """
        path = pathlib.Path(path)
        try:
            # The numbers line after line: along the one spatial axis, the bands side by side.
            pixels = np.loadtxt(path, np.float32, delimiter=",", ndmin=2)
        except (OSError, ValueError) as e:
            return asterism.Record("", bad=f"{path}: {e}")
        if pixels.shape[1] != len(self.bands) or not len(pixels):
            return asterism.Record("", bad=f"{path}: no lines of {len(self.bands)} numbers")
        # The name is what draws and splits depend on: no two objects share it.
        name, dash, _ = path.stem.partition("-")
        # One value for each field of the catalogue: a number, a text, or None where it is missing.
        return asterism.Record(path.stem, pixels, [name if dash else None])


asterism.serve("acme", "0.1.0")
