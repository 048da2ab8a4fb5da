def test_it(anywhere):
    assert anywhere.run() == "SUCCESS"
    assert anywhere.run() == "UNCHANGED"
    assert len(anywhere.objects()) == 1
