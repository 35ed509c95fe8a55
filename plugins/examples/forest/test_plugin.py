"""Compares answers with scikit-learn's own, and scores with numbers worked out by hand: python3 -m unittest"""

import unittest

import asterism_plugin as asterism
import numpy as np
from sklearn import ensemble

import plugin


def task(facts, **config):
    """A task that has been asked what it needs of 300 rows."""
    t = plugin.Trees({"trees": 20, "leaves": 64, "edges": [], **config})
    t.promised = t.needs(asterism.TaskNeedsRequest(width=6, fit_rows=300, predict_rows=200, labels=[facts]))
    return t


def by_name(state):
    return {a.name: a for a in state}


class TestTrees(unittest.TestCase):
    def setUp(self):
        draw = np.random.default_rng(3)
        self.x, self.new = draw.normal(size=(300, 6)).astype(np.float32), draw.normal(size=(200, 6)).astype(np.float32)
        self.number = self.x[:, 0] + 0.1 * draw.normal(size=300)
        self.kind = np.digitize(self.number, [-0.5, 0.5]).astype(np.float64)
        self.weights = draw.integers(0, 3, 300) / 2
        self.ids = np.arange(300, dtype=np.uint64)
        self.text = asterism.LabelFacts(column="kind", type=asterism.Field.STRING, categories=["a", "b", "c", "never"])
        self.column = asterism.LabelFacts(column="z", type=asterism.Field.NUMBER, minimum=-3, maximum=3)

    def test_numbers_are_those_of_sklearn(self):
        for weights in (None, self.weights):
            t = task(self.column, label="z")
            state = t.fit(self.x, {"z": self.number}, weights, 2**40 + 5, self.ids)
            self.assertLessEqual(sum(a.values.nbytes + 64 for a in state), t.promised.state_bytes)
            got = by_name(t.predict(by_name(state), self.new))
            kept = self.weights > 0 if weights is not None else np.full(300, True)
            own = ensemble.RandomForestRegressor(20, max_leaf_nodes=64, max_features="sqrt", random_state=5)
            own.fit(self.x[kept], self.number[kept], np.ones(kept.sum()) if weights is None else weights[kept])
            np.testing.assert_allclose(got["z"].values, own.predict(self.new), rtol=1e-12)
            np.testing.assert_allclose(got["spread"].values, np.std([e.predict(self.new) for e in own.estimators_], axis=0), rtol=1e-9, atol=1e-12)

    def test_classes_are_those_of_sklearn(self):
        for facts, config, values in ((self.text, {"label": "kind"}, self.kind), (self.column, {"label": "z", "edges": [-0.5, 0.5]}, self.number)):
            t = task(facts, **config)
            state = t.fit(self.x, {config["label"]: values}, None, 5, self.ids)
            self.assertLessEqual(sum(a.values.nbytes + 64 for a in state), t.promised.state_bytes)
            got = by_name(t.predict(by_name(state), self.new))
            own = ensemble.RandomForestClassifier(20, max_leaf_nodes=64, max_features="sqrt", random_state=5).fit(self.x, self.kind.astype(int))
            np.testing.assert_allclose(got["probability"].values[:, :3], own.predict_proba(self.new), rtol=1e-12, atol=1e-15)
            np.testing.assert_array_equal(got[config["label"]].values, own.predict(self.new))
            self.assertEqual(got[config["label"]].categories, list(self.text.categories) if facts is self.text else ["below -0.5", "-0.5 to 0.5", "0.5 and above"])

    def test_missing_labels_and_little_to_learn_from(self):
        t = task(self.text, label="kind")
        labels = self.kind.copy()
        labels[10:] = np.nan
        some = by_name(t.fit(self.x, {"kind": labels}, None, 5, self.ids))
        few = by_name(t.fit(self.x[:10], {"kind": labels[:10]}, None, 5, self.ids[:10]))
        for name, a in some.items():
            np.testing.assert_array_equal(a.values, few[name].values)
        one = t.fit(self.x[:1], {"kind": np.array([2.0])}, None, 5, self.ids[:1])
        self.assertTrue((t.predict(by_name(one), self.new)[0].values == 2).all())
        for weights in (np.zeros(300), None):
            with self.assertRaises(asterism.DataError):
                t.fit(self.x, {"kind": self.kind if weights is not None else np.full(300, np.nan)}, weights, 5, self.ids)

    def test_damaged_states_are_refused(self):
        t = task(self.column, label="z")
        for name, spoil in (("left", 10**6), ("left", -1), ("right", 0), ("feature", 6), ("nodes", 3)):
            state = by_name(t.fit(self.x, {"z": self.number}, None, 5, self.ids))
            state[name].values[1] = spoil
            with self.assertRaises(asterism.DataError, msg=f"{name} = {spoil}"):
                t.predict(state, self.new)
        del state["value"]
        with self.assertRaises(asterism.DataError):
            t.predict(state, self.new)

    def test_scores(self):
        t = task(self.text, label="kind")
        guess = {"kind": asterism.Array("kind", np.array([0, 1, 1, 2])), "probability": asterism.Array("probability", np.array([[1, 0, 0, 0], [0, 0.5, 0.5, 0], [0.5, 0.5, 0, 0], [0, 0, 1.0, 0]]))}
        answer = t.score(guess, {"kind": np.array([0.0, 1, 0, 2])}, {})
        values = {m.name: m.value for m in answer.metrics}
        self.assertEqual(values["accuracy"], 0.75)
        self.assertAlmostEqual(values["balanced accuracy"], (0.5 + 1 + 1) / 3)
        self.assertAlmostEqual(values["log loss"], 2 * np.log(2) / 4)
        self.assertEqual(answer.figures[0].matrix.values[1], 1)  # one a was taken for a b
        t = task(self.column, label="z")
        answer = t.score({"z": asterism.Array("z", np.array([1.0, 2, 6]))}, {"z": np.array([1.0, 3, 4])}, {})
        self.assertEqual([round(m.value, 6) for m in answer.metrics], [1, round((5 / 3) ** 0.5, 6), round(1 / 3, 6), round(1 - (5 / 3) / (14 / 9), 6)])
        self.assertTrue(all(m.doc for m in answer.metrics))
        with self.assertRaises(asterism.DataError):
            t.score({"z": asterism.Array("z", np.zeros(0))}, {"z": np.zeros(0)}, {})

    def test_what_it_refuses(self):
        for facts, config, field in ((self.column, {"label": "mass"}, "label"), (self.text, {"label": "kind", "edges": [1, 2]}, "edges"), (self.column, {"label": "z", "edges": [2, 1]}, "edges")):
            with self.assertRaises(asterism.FieldError) as e:
                task(facts, **config)
            self.assertEqual(e.exception.field, field)


if __name__ == "__main__":
    unittest.main()
