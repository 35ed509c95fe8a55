"""Runs the conformance kit, with asterism from PATH or from the variable ASTERISM: python3 -m unittest"""

import os
import pathlib
import subprocess
import unittest


class TestPlugin(unittest.TestCase):
    def test_conforms(self):
        command = [os.environ.get("ASTERISM") or "asterism", "plugin", "test", str(pathlib.Path(__file__).parent)]
        try:
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8")
        except FileNotFoundError:
            self.fail(f"there is no {command[0]}: put asterism into PATH, or name it in the variable ASTERISM")
        print(done.stdout)
        self.assertEqual(done.returncode, 0, "the plugin does not pass")


if __name__ == "__main__":
    unittest.main()
