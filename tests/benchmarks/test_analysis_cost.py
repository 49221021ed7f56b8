from benchmarks import analysis_cost


def test_every_work_is_done(monkeypatch):
    monkeypatch.setattr(analysis_cost, "DIM", 2)
    works = analysis_cost.works(20_000)
    for name in ("surroundings", "waits and pins", "sites"):
        works[name]()
    assert analysis_cost.peak() > 0
