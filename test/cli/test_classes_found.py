"""Which classes were found, in one line."""

import numpy as np

from pvd_cli.classes_found import classes_found


def counts(**of_ids):
    result = np.zeros(20, np.int64)
    for name, number in of_ids.items():
        result[int(name[1:])] = number
    return result


def test_classes_are_listed_from_the_largest_on_with_their_shares():
    text = classes_found(counts(_1=300, _9=1699, _18=1))
    assert text == "3 classes found in 2,000 points: road 85.0 %, car 15.0 %, pole < 0.1 %"


def test_points_without_a_label_are_counted_apart():
    assert classes_found(counts(_0=1, _1=4)) == "1 class found in 4 points: car 100.0 %; 1 point without a label"
    assert classes_found(counts(_0=7)) == "no class found; 7 points without a label"
    assert classes_found(counts()) == "no class found"
