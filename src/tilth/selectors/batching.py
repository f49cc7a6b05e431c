"""Steps that choose a batch: records that are worth more together than one by one."""

from abc import ABC, abstractmethod
from typing import Self

from tilth.selectors.batches import Badge, Centers, Distinct, Diverse
from tilth.selectors.checks import number, vector
from tilth.selectors.clustered import ClusterMargin, Covering, Typical
from tilth.selectors.steps import Step
from tilth.signals.making import count

__all__ = ["Batching"]


class Batching(ABC):
    """What can be written behind a selector in order to keep records that go well together."""

    @abstractmethod
    def then(self, step: Step) -> Self:
        """Return this selector with one more step."""

    def diverse(self, k: int, *, within: int | None = None, by: str = "embeddings") -> Self:
        """Keep k that are far apart and far from what is labelled: each next one is the farthest from all of these.

        >>> from tilth.selectors import unlabeled
        >>> from tilth.signals import margin
        >>> unlabeled.top(1000, by=margin()).diverse(100)
        unlabeled.top(1000, by=margin()).diverse(100)

        `within`: look at the first that many only. `by`: the model's embeddings, or a vector column. Euclidean
        distance, exact: n x (labelled + k) x d multiplications. Where that is much, distances to what is labelled are
        kept in the dataset's folder, and while vectors stay as they are (a column, a frozen encoder) only what was
        labelled since is compared; a model that is trained anew has new embeddings and begins anew. Sener and Savarese
        2018, Active Learning for Convolutional Neural Networks: A Core-Set Approach.

        Use it to spread a batch over embeddings that mean something, best among unsure records. Do not use it on raw
        features or on everything: the farthest records are outliers and noise, and that can be worse than `sample`.
        """
        within = None if within is None else count("diverse(within=...)", within)
        return self.then(Diverse(count("diverse(k)", k), within, by=vector("diverse", by)))

    def badge(self, k: int) -> Self:
        """Keep k drawn by k-means++ among the gradients of the model's last layer: unsure and unlike each other.

        >>> from tilth.selectors import unlabeled
        >>> unlabeled.badge(100)
        unlabeled.badge(100)

        The gradient is that of the loss if the predicted class were true: long where the model is unsure, and pointing
        where embedding and prediction differ. The first record has the longest, the others are drawn from seed, round
        and this selector's text. At most k x n x (classes + d) multiplications; gradients are never written out. Ash
        et al. 2020, Deep Batch Active Learning by Diverse, Uncertain Gradient Lower Bounds.

        Use it as the batch choice of a classifier that gives embeddings: it needs no setting. Do not use it for
        numbers, nor with the first few labels, while probabilities say little.
        """
        return self.then(Badge(count("badge(k)", k)))

    def cluster_margin(
        self, k: int, *, within: int | None = None, clusters: int | None = None, by: str = "embeddings"
    ) -> Self:
        """Keep k of the least sure by margin, in turns from as many clusters as there are.

        >>> from tilth.selectors import unlabeled
        >>> unlabeled.cluster_margin(100)
        unlabeled.cluster_margin(100)
        >>> unlabeled.cluster_margin(100, within=2000, clusters=50)
        unlabeled.cluster_margin(100, within=2000, clusters=50)

        The `within` records of the highest `margin()` (3 x k where it is not given) are joined by average linkage
        until `clusters` are left (k); then each cluster gives its least sure record in turn, the smallest cluster
        first. Citovsky et al. 2021, Batch Active Learning at Scale, with two differences: the candidates of the round
        are clustered, exactly, and not the whole pool once; and a cluster gives its least sure record, not any. within
        x within distances in memory (float32: 400 MB for 10,000).

        Use it for large batches, where the top by margin repeats itself. Do not use it for a handful: `top` does.
        """
        return self.then(
            ClusterMargin(
                count("cluster_margin(k)", k),
                None if within is None else count("cluster_margin(within=...)", within),
                None if clusters is None else count("cluster_margin(clusters=...)", clusters),
                by=vector("cluster_margin", by),
            )
        )

    def typical(self, k: int, *, by: str = "embeddings") -> Self:
        """Keep k that are typical of the data where nothing is labelled yet.

        >>> from tilth.selectors import unlabeled
        >>> unlabeled.typical(20)
        unlabeled.typical(20)

        Records and what is labelled are clustered by k-means into labelled + k clusters (500 at most). Clusters with
        the fewest labelled come first, of these the largest; each gives in turn the record of the lowest mean distance
        to its 20 nearest in the cluster. Ties by key; seeds are drawn from seed, round and this selector's text. Some
        tens of rounds of n x clusters x d multiplications. Hacohen, Dekel and Weinshall 2022, Active Learning on a
        Budget: Opposite Strategies Suit High and Low Budgets.

        Use it for the first labels, on embeddings that were not learned from them. Do not use it later: it never
        chooses what the model is unsure of.
        """
        return self.then(Typical(count("typical(k)", k), by=vector("typical", by)))

    def covering(self, k: int, radius: float | None = None, *, by: str = "embeddings") -> Self:
        """Keep k whose balls of a radius hold the most records that no ball and no labelled record holds yet.

        >>> from tilth.selectors import unlabeled
        >>> unlabeled.covering(20, 0.5)
        unlabeled.covering(20, radius=0.5)

        Without a radius: the largest at which 95 % of the balls hold records of one k-means cluster only, with as many
        clusters as classes; it is measured at 2,048 records. Ties by order. The score is how many records it covers
        anew; when all are covered, the rest come in their order with 0. Up to 2 x n x n x d multiplications, no more
        memory than a block. Yehuda, Dekel, Hacohen and Weinshall 2022, Active Learning Through a Covering Lens.

        Use it for the first labels, on embeddings in which near means of the same class. Do not use it on a large pool
        in every round (it compares all with all), nor with a radius that was chosen for other embeddings.
        """
        radius = None if radius is None else number("covering(radius=...)", radius)
        return self.then(Covering(count("covering(k)", k), radius, by=vector("covering", by)))

    def centers(self, k: int, *, by: str = "embeddings") -> Self:
        """Keep the record nearest to the centre of each of k clusters, that of the largest cluster first.

        >>> from tilth.selectors import unlabeled
        >>> unlabeled.centers(20)
        unlabeled.centers(20)

        k-means from k-means++ seeds that are drawn from seed, round and this selector's text; 100 rounds at most, of n
        x k x d multiplications each. Where rows are equal and a cluster stays empty, others give their second record.
        What is labelled plays no part. Lloyd 1982; as a start of active learning, Kang, Ryu and Kwon 2004, Using
        Cluster-Based Sampling to Select Initial Training Set for Active Learning.

        Use it once, before there is a model, by a vector column. Do not use it again: it would choose beside the same
        records.
        """
        return self.then(Centers(count("centers(k)", k), by=vector("centers", by)))

    def distinct(self, threshold: float = 0.95, *, by: str = "embeddings") -> Self:
        """Walk through the records in order and drop each that is nearly equal to one that stayed.

        >>> from tilth.selectors import unlabeled
        >>> from tilth.signals import margin
        >>> unlabeled.top(500, by=margin()).distinct(0.9).first(100)
        unlabeled.top(500, by=margin()).distinct(threshold=0.9).first(100)

        `threshold`: the cosine similarity, above 0 and up to 1, from which on two are nearly equal. Exact: n x stays x
        d multiplications. Records without a vector, or with one of length 0, are passed over.

        Use it behind `top`, to not ask the same question twice in a batch. Do not use it on a whole pool when only the
        first few are wanted (narrow first), nor to clean a dataset: `duplicate()` also says which of a group to keep.
        """
        return self.then(Distinct(number("distinct(threshold=...)", threshold, most=1), by=vector("distinct", by)))
