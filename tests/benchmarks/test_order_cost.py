from benchmarks import order_cost


def test_every_work_is_done(monkeypatch):
    monkeypatch.setattr(order_cost, "DIM", 2)
    works = order_cost.works(20_000)
    for name in ("surroundings", "waits and pins", "sites"):
        works[name]()
    assert order_cost.peak() > 0
