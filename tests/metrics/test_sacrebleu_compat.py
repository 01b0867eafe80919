"""The private parts of sacreBLEU that are used: sums of segments' statistics score as the corpus does."""

from __future__ import annotations

import pytest
from sacrebleu.metrics import BLEU, CHRF, TER

from harness.metrics.sacrebleu_compat import segment_statistics, summed_score

TEXTS = ["the meeting moved to Tuesday", "a short note", "it is booked and the room is large"]
REFERENCES = ["the meeting is on Tuesday now", "one short note", "the room is booked and it is large"]


@pytest.mark.parametrize("scorer", [BLEU(), CHRF(word_order=2), TER()], ids=["bleu", "chrf", "ter"])
def test_statistics_add_up_to_the_corpus_score(scorer: BLEU | CHRF | TER) -> None:
    segments = [segment_statistics(scorer, text, [one]) for text, one in zip(TEXTS, REFERENCES, strict=True)]
    assert summed_score(scorer, sum(segments)) == pytest.approx(scorer.corpus_score(TEXTS, [REFERENCES]).score)
    assert segments[0].tolist() != segments[1].tolist()


def test_segments_may_have_references_of_their_own_number() -> None:
    one, two = (segment_statistics(TER(), TEXTS[0], REFERENCES[:count]) for count in (1, 2))
    assert one.shape == two.shape
