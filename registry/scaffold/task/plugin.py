"""Acme is a plugin for Asterism with one task."""

import pathlib

import asterism_plugin as asterism  # before everything that prints when it is imported
import numpy as np


@asterism.task(
    "centroid",
    revision=1,  # raise it whenever results change for the same configuration
    summary="Which class's mean is nearest?",
    schema=pathlib.Path(__file__).with_name("schema.cue").read_text(encoding="utf-8"),
)
class Centroid:
    def __init__(self, config):
        self.label = config["label"]  # the schema has checked it

    def needs(self, request):
        """Names the labels that fit and score are given, and says how much memory answers take at most, in bytes."""
        column = next((c for c in request.labels if c.column == self.label), None)
        if column is None:
            there = ", ".join(sorted(c.column for c in request.labels)) or "none"
            raise asterism.FieldError("label", f"the data have no column {self.label!r}", f"the columns are: {there}")
        if column.type != asterism.Field.STRING:
            raise asterism.FieldError("label", f"{self.label!r} is a column of numbers, which has no classes", "name a column of text")
        # Before the data are read their categories are not known.
        self.categories = list(column.categories) or ["not yet read"]
        n = len(self.categories)
        return asterism.TaskNeeds(labels=[self.label], state_bytes=n * (4 * request.width + 8) + 256, prediction_bytes=8 * request.predict_rows + 64)

    def fit(self, x, labels, weights, seed, samples):
        """Learns from the labelled rows, x [rows, width]. What it gives is the state: all that predict may know."""
        classes = labels[self.label].astype(np.int64)  # a label of text is given as an index into its categories
        weights = np.ones(len(x)) if weights is None else weights
        # Classes without a labelled row are never predicted.
        present = np.array([c for c in np.unique(classes) if weights[classes == c].sum() > 0])
        if not len(present):
            raise asterism.DataError("there are no rows to fit", "ask for more labels")
        means = np.stack([np.average(x[classes == c], axis=0, weights=weights[classes == c]) for c in present])
        return [asterism.Array("means", means.astype(np.float32)), asterism.Array("present", present, self.categories)]

    def predict(self, state, x):
        """Gives a column with an answer for each row of x. It sees the state and no label."""
        means, present = state["means"].values, state["present"]
        # distance² up to what is the same for every class
        squares = (means**2).sum(1) - 2 * x @ means.T
        return [asterism.Array(self.label, present.values[squares.argmin(1)], present.categories)]

    def score(self, predictions, labels, fit_labels):
        """Compares predictions with labels. The first metric is the task's headline."""
        right = predictions[self.label].values == labels[self.label]
        accuracy = float(right.mean()) if len(right) else 0.0
        return asterism.ScoreAnswer(
            metrics=[asterism.Metric(name="accuracy", value=accuracy, better=asterism.Metric.HIGHER, doc="share of objects whose class is right")]
        )


asterism.serve("acme", "0.1.0")
