"""A page by vowpal-wabbit-next alone: examples built from arrays, and one prediction a title."""

from pathlib import Path

import numpy as np
from vowpal_wabbit_next import CBLabel, Example, Workspace

from models.batch import Batch, Floats
from models.exploration import Exploration
from models.linear import bounded
from models.vw_encoding import ARTWORK_NAMESPACES, ID_NAMESPACE, SHARED_NAMESPACES, Namespace, WeightPlaces, id_names


class VwPages:
    """A trained model that is asked title by title.

    Args: model, the file that VW wrote; exploration, whose floor is laid over what VW says; epsilon, VW's own.
    """

    def __init__(self, model: Path, exploration: Exploration) -> None:
        self._workspace = Workspace(["-t", "--quiet"], model_data=model.read_bytes())
        self._floor = exploration.floor
        spaces = (*SHARED_NAMESPACES, *ARTWORK_NAMESPACES)
        letters = [*(space.letter for space in spaces), ID_NAMESPACE]
        bases = {each: self._workspace.get_index_for_scalar_feature("0", namespace_name=each) for each in letters}
        self._places = WeightPlaces(64 - 1, bases)
        self._indices = {each.letter: self._places.single(each.letter, np.arange(len(each.columns))) for each in spaces}

    def pmf(self, batch: Batch) -> Floats:
        """Give the `(m,)` probabilities of the batch's candidates, title by title."""
        shared, artworks = bounded(batch.shared), bounded(batch.artworks)
        ids = self._places.single(ID_NAMESPACE, id_names(batch.artwork_keys))
        one = np.ones(1, dtype=np.float32)
        pmf = np.empty(len(batch.artwork_keys))
        for title in range(len(batch)):
            first, stop = batch.offsets[title], batch.offsets[title + 1]
            examples = [self._example(shared[title], SHARED_NAMESPACES, CBLabel(shared=True))]
            for row in range(first, stop):
                example = self._example(artworks[row], ARTWORK_NAMESPACES, CBLabel())
                example[ID_NAMESPACE].push_many_features(ids[row : row + 1], one)
                examples.append(example)
            for place, probability in self._workspace.predict_one(examples):
                pmf[first + place] = probability
        return (1.0 - self._floor) * pmf + self._floor / np.repeat(batch.counts, batch.counts)

    def _example(
        self, values: "np.ndarray[tuple[int], np.dtype[np.float32]]", spaces: tuple[Namespace, ...], label: CBLabel
    ) -> Example:
        example = Example()
        example.set_label(label)
        for space in spaces:
            example[space.letter].push_many_features(self._indices[space.letter], values[space.first : space.stop])
        return example
