import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from tests.scores.embeddings.conftest import MODEL
from tests.small_pool import uid
from thresher.errors import InputError
from thresher.scores.embeddings import stored
from thresher.scores.embeddings.embed import embed_shards
from thresher.scores.embeddings.stored import open_embeddings

NUM_PAIRS = 15
ALL = [uid(n) for n in range(NUM_PAIRS)]


@pytest.fixture
def copy(embedded: SimpleNamespace, tmp_path: Path) -> Path:
    return Path(shutil.copytree(embedded.fp16, tmp_path / "copy"))


def test_reading_loads_no_torch(embedded: SimpleNamespace) -> None:
    code = (
        "import sys; from thresher.scores.embeddings.stored import open_embeddings\n"
        f"stored = open_embeddings({str(embedded.fp16)!r}); stored.image(stored.find([{uid(3)!r}]))\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_pairs_come_in_the_order_asked_for_across_shards(embedded: SimpleNamespace) -> None:
    found = open_embeddings(embedded.fp16)
    assert found.find(ALL).tolist() == list(range(NUM_PAIRS))
    mixed = np.array([14, 0, 5, 6, 0, 4])
    assert (found.image(mixed) == found.image(np.arange(NUM_PAIRS))[mixed]).all()
    assert (found.text(mixed) == found.text(np.arange(NUM_PAIRS))[mixed]).all()
    assert not np.allclose(found.image(mixed), found.text(mixed))
    assert found.find(pa.chunked_array([ALL[9:], ALL[:2]])).tolist() == [*range(9, NUM_PAIRS), 0, 1]


def test_few_mapped_files_at_a_time_are_enough(
    embedded: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = open_embeddings(embedded.int8).image(np.arange(NUM_PAIRS))
    monkeypatch.setattr(stored, "MAPPED_PARTS", 1)
    assert (open_embeddings(embedded.int8).image(np.arange(NUM_PAIRS)) == whole).all()


def test_none_asked_for_is_none(embedded: SimpleNamespace) -> None:
    found = open_embeddings(embedded.fp16)
    assert found.find([]).shape == (0,)
    assert found.image(found.find([])).shape == (0, found.dim)


def test_a_missing_uid_is_named(embedded: SimpleNamespace) -> None:
    found = open_embeddings(embedded.fp16)
    with pytest.raises(InputError, match=f"uid {uid(77)} of 2 asked for .* among the 15 embeddings"):
        found.find([uid(1), uid(77)])
    with pytest.raises(InputError, match=f"uid {uid(77)} and 1 more of 3 asked for"):
        found.find([uid(77), uid(1), uid(78)])
    with pytest.raises(InputError, match="'cat' is not a uid"):
        found.find(["cat"])


def test_places_that_do_not_exist_are_refused(embedded: SimpleNamespace) -> None:
    with pytest.raises(ValueError, match="places run from -1 to 3, of 15 embeddings"):
        open_embeddings(embedded.fp16).image(np.array([3, -1]))


def test_another_model_is_refused(embedded: SimpleNamespace) -> None:
    own = open_embeddings(embedded.fp16).fingerprint
    assert open_embeddings(embedded.fp16, fingerprint=own).model == MODEL
    with pytest.raises(InputError, match=rf"another model: {MODEL} .* asked for is 0123 .*thresher embed"):
        open_embeddings(embedded.fp16, fingerprint="0123")


def test_another_preprocessing_is_another_fingerprint(embedded: SimpleNamespace, tmp_path: Path) -> None:
    """The same weights behind images that are squashed in place of cut."""
    from thresher.models.saved import CONFIG_FILE, save_model
    from thresher.models.towers import load_towers

    save_model(load_towers(MODEL, seed=0), tmp_path / "model", sigmoid=False, samples_seen=0)
    config = json.loads((tmp_path / "model" / CONFIG_FILE).read_text())
    config["preprocess_cfg"]["resize_mode"] = "squash"
    (tmp_path / "model" / CONFIG_FILE).write_text(json.dumps(config))
    squashed = load_towers(f"local-dir:{tmp_path}/model")
    with pytest.raises(InputError, match="preprocessing differ"):
        open_embeddings(embedded.fp16, fingerprint=squashed.fingerprint)
    with pytest.raises(InputError, match="embedded by another model"):
        embed_shards(embedded.shards, f"local-dir:{tmp_path}/model", embedded.fp16, **embedded.options)


def test_a_uid_of_two_shards_is_the_first(embedded: SimpleNamespace, tmp_path: Path) -> None:
    twice = tmp_path / "again.tar"
    shutil.copy(embedded.shards[0], twice)
    out = embed_shards([*embedded.shards, str(twice)], MODEL, tmp_path / "out", **embedded.options).whole()
    found = open_embeddings(out)
    assert found.count == NUM_PAIRS + 5
    assert found.find(ALL).tolist() == list(range(NUM_PAIRS))


def test_a_folder_that_is_not_finished_is_refused(copy: Path) -> None:
    (copy / "embeddings.json").unlink()
    with pytest.raises(InputError, match=r"no finished embeddings \(embeddings.json is absent\)"):
        open_embeddings(copy)
    with pytest.raises(InputError, match="no finished embeddings"):
        open_embeddings(copy / "absent")


def test_damage_is_named(copy: Path) -> None:
    (copy / "parts/00001-00001.parquet").unlink()
    with pytest.raises(InputError, match=r"holds 14 embeddings where embeddings.json says 15"):
        open_embeddings(copy)
    (copy / "embeddings.json").write_text("{")
    with pytest.raises(InputError, match=r"embeddings.json is not JSON"):
        open_embeddings(copy)
    (copy / "embeddings.json").write_text('{"schema": "thresher.scores", "version": 1}')
    with pytest.raises(InputError, match=r"not .thresher.embeddings. version 1"):
        open_embeddings(copy)
    content = '{"schema": "thresher.embeddings", "version": 1, "dtype": "fp16", "model": "ViT-B-32"}'
    (copy / "embeddings.json").write_text(content)
    with pytest.raises(InputError, match=r"fingerprint is missing\); make it again with `thresher embed`"):
        open_embeddings(copy)


def test_vectors_of_another_shape_or_cut_off_are_refused(copy: Path) -> None:
    first = copy / "parts/00000-00000.npy"
    np.save(first, np.zeros((5, 2, 32), dtype=np.float16))
    with pytest.raises(InputError, match=r"00000-00000.npy holds float16 \(5, 2, 32\) where"):
        open_embeddings(copy).image(np.array([0]))
    first.write_bytes(first.read_bytes()[:-7])
    with pytest.raises(InputError, match=r"00000-00000.npy is damaged"):
        open_embeddings(copy).image(np.array([0]))


def test_a_pickle_is_never_read(copy: Path) -> None:
    np.save(copy / "parts/00000-00000.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match=r"00000-00000.npy is damaged"):
        open_embeddings(copy).image(np.array([0]))
