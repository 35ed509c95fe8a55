"""Forest: answers from representations by a random forest of scikit-learn. forest.trees classifies where the label is a column of
text, or of numbers with edges, and regresses where it is a column of numbers."""

import pathlib

import asterism_plugin as asterism  # before everything that prints when it is imported
import numpy as np

HERE = pathlib.Path(__file__).parent
MARGIN = 1024  # bytes for what lies between arrays


@asterism.task(
    "trees",
    revision=1,
    summary="A random forest: a class with its probability, or a number with the spread of the trees.",
    schema=(HERE / "trees.cue").read_text(encoding="utf-8"),
)
class Trees:
    def __init__(self, config):
        self.label, self.trees, self.leaves, self.edges = config["label"], config["trees"], config["leaves"], config["edges"]
        if self.edges != sorted(set(self.edges)):
            raise asterism.FieldError("edges", "the edges must ascend", "sort them and leave repetitions out")

    # What it needs. Nothing of fit is kept in self: predict knows the state alone.

    def needs(self, request):
        column = next((c for c in request.labels if c.column == self.label), None)
        if column is None:
            there = ", ".join(sorted(c.column for c in request.labels)) or "none"
            raise asterism.FieldError("label", f"the data have no column {self.label!r}", f"the columns are: {there}")
        if column.type == asterism.Field.STRING and self.edges:
            raise asterism.FieldError("edges", f"{self.label!r} is a column of text, whose values are the classes already", "leave edges out")
        self.classes = self.classes_of(column)
        width = max(1, len(self.classes))  # of a node's value
        nodes = self.trees * (2 * min(self.leaves, max(1, request.fit_rows)) - 1)
        names = sum(len(c.encode()) + 16 for c in self.classes)
        return asterism.TaskNeeds(
            labels=[self.label],
            state_bytes=nodes * (4 * 8 + 8 * width) + 8 * self.trees + 8 * width + names + MARGIN,
            prediction_bytes=8 * (1 + width) * request.predict_rows + names + MARGIN,
        )

    def classes_of(self, column):
        """The names of the classes; none for a regression."""
        if column.type == asterism.Field.STRING:
            return list(column.categories) or ["not yet read"]  # a plan is made before the data are read
        if not self.edges:
            return []
        e = [f"{v:g}" for v in self.edges]
        return [f"below {e[0]}", *(f"{a} to {b}" for a, b in zip(e, e[1:])), f"{e[-1]} and above"]

    def truth(self, values):
        """Labels as the forest sees them: indices of classes, or numbers."""
        if not self.classes:
            return values
        return (np.searchsorted(self.edges, values, side="right") if self.edges else values).astype(np.int64)

    # What it learns.

    def fit(self, x, labels, weights, seed, samples):
        from sklearn import ensemble  # here, since it takes a second to import, which a plan need not wait for

        weights = np.ones(len(x)) if weights is None else weights
        known = np.isfinite(labels[self.label]) & (weights > 0)
        if not known.any():
            raise asterism.DataError("there are no rows to fit", "ask for more labels, or a label that more objects have")
        x, y, weights = x[known], self.truth(labels[self.label][known]), weights[known]
        make = ensemble.RandomForestClassifier if self.classes else ensemble.RandomForestRegressor
        forest = make(self.trees, max_leaf_nodes=max(2, self.leaves), max_features="sqrt", random_state=seed % 2**32, n_jobs=1)
        forest.fit(x, y, weights)
        return flatten(forest, self.classes)

    def predict(self, state, x):
        trees = {name: a.values for name, a in state.items()}
        values = walk(trees, x)  # [trees, rows, width]
        names = state["classes"].categories
        if not names:
            each = values[:, :, 0]
            return [asterism.Array(self.label, each.mean(axis=0)), asterism.Array("spread", each.std(axis=0))]
        probability = np.zeros((len(x), len(names)))
        probability[:, trees["classes"]] = values.mean(axis=0)
        return [asterism.Array(self.label, probability.argmax(axis=1), names), asterism.Array("probability", probability, names)]

    # How well it did.

    def score(self, predictions, labels, fit_labels):
        if not len(labels[self.label]):
            raise asterism.DataError(f"no row to score has a value in the column {self.label!r}", "give the split a larger test part")
        truth, guess = self.truth(labels[self.label]), predictions[self.label].values
        if self.classes:
            return judge_classes(self.label, self.classes, truth, guess, predictions["probability"].values)
        return judge_numbers(self.label, truth, guess)


def flatten(forest, names):
    """A forest as arrays, one tree after another: nothing in a state is ever run. Children are counted within their tree; a
    node without any is its own child."""
    columns = {"left": [], "right": [], "feature": [], "threshold": [], "value": []}
    for tree in (e.tree_ for e in forest.estimators_):
        leaf = tree.children_left < 0
        itself = np.arange(tree.node_count)
        value = tree.value[:, 0, :].astype(np.float64)
        if names:
            value = value / value.sum(axis=1, keepdims=True)
        for name, v in (
            ("left", np.where(leaf, itself, tree.children_left)),
            ("right", np.where(leaf, itself, tree.children_right)),
            ("feature", np.where(leaf, 0, tree.feature)),
            ("threshold", tree.threshold),
            ("value", value),
        ):
            columns[name].append(v)
    state = [asterism.Array(name, np.concatenate(parts)) for name, parts in columns.items()]
    state.append(asterism.Array("nodes", np.array([len(v) for v in columns["left"]], np.int64)))
    # Which class each column of value is: those of which the forest has seen an object.
    return state + [asterism.Array("classes", forest.classes_.astype(np.int64) if names else np.zeros(0, np.int64), names)]


def walk(trees, x):
    """The values of the leaves in which the rows of x end, [trees, rows, width]. A state is data, and may be damaged."""
    damaged = asterism.DataError("the stored forest is damaged", "run the task again with --fresh")
    names = ("left", "right", "feature", "threshold", "value", "nodes", "classes")
    if any(n not in trees for n in names):
        raise damaged
    left, right, feature, threshold, value, nodes, _ = (trees[n] for n in names)
    if not (len(nodes) and nodes.min() > 0 and nodes.sum() == len(left) == len(right) == len(feature) == len(threshold) == len(value)):
        raise damaged
    ends = []
    for first, count in zip(np.cumsum(nodes) - nodes, nodes):
        part = slice(first, first + count)
        for child in (left[part], right[part]):
            if child.min() < 0 or child.max() >= count or (child < np.arange(count)).any():  # a child comes after its parent
                raise damaged
        if feature[part].min() < 0 or feature[part].max() >= x.shape[1]:
            raise damaged
        at, rows = np.zeros(len(x), np.int64), np.arange(len(x))
        while True:
            node = first + at
            goes_left = x[rows, feature[node]] <= threshold[node]
            after = np.where(goes_left, left[node], right[node])
            if (after == at).all():
                break
            at = after
        ends.append(value[first + at])
    return np.array(ends)


def judge_classes(label, names, truth, guess, probability):
    n = len(names)
    confusion = np.zeros((n, n))
    np.add.at(confusion, (truth, guess), 1)
    there = confusion.sum(axis=1) > 0
    recall = confusion.diagonal()[there] / confusion.sum(axis=1)[there]
    loss = -np.log(np.maximum(probability[np.arange(len(truth)), truth], 1e-6)).mean()
    answer = asterism.ScoreAnswer()
    metric(answer, "accuracy", (truth == guess).mean(), "HIGHER", "share of rows whose most probable class is the label")
    metric(answer, "balanced accuracy", recall.mean(), "HIGHER", "mean over the classes that occur of the share of their rows that are found")
    metric(answer, "log loss", loss, "LOWER", "mean of −ln of the label's probability, probabilities below 1e-6 taken as 1e-6")
    figure = answer.figures.add(title="Confusion")
    figure.matrix.rows.extend(names)
    figure.matrix.columns.extend(names)
    figure.matrix.row_label, figure.matrix.column_label = label, "predicted"
    figure.matrix.values.extend(confusion.reshape(-1))
    return answer


def judge_numbers(label, truth, guess):
    error = guess - truth
    answer = asterism.ScoreAnswer()
    metric(answer, "mean absolute error", np.abs(error).mean(), "LOWER", "mean of |prediction − label|")
    metric(answer, "root mean square error", np.sqrt((error**2).mean()), "LOWER", "root of the mean of (prediction − label)²")
    metric(answer, "bias", error.mean(), "NEITHER", "mean of prediction − label")
    if truth.var() > 0:
        metric(answer, "R²", 1 - (error**2).mean() / truth.var(), "HIGHER", "1 − mean of (prediction − label)² / variance of the labels")
    scatter = answer.figures.add(title=f"{label}, predicted and true").scatter
    scatter.x_label, scatter.y_label, scatter.identity = label, "predicted", True
    scatter.x.extend(truth)
    scatter.y.extend(guess)
    return answer


def metric(answer, name, value, better, doc):
    answer.metrics.add(name=name, value=float(value), better=asterism.Metric.Better.Value(better), doc=doc)


asterism.serve("forest", "1.0.0")
