"""The app with a fake model: real PageIndex, real files, nothing else faked."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
for folder in (ROOT / "services/pageindex_app", Path(__file__).parent):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

if importlib.util.find_spec("pageindex") is None:
    # The app's dependencies are its own (services/pageindex_app/requirements.txt), not the program's.
    collect_ignore_glob = ["test_*.py", "*/test_*.py"]
else:
    from fake_model import KEY, FakeModel, fake_model
    from fastapi.testclient import TestClient
    from pageindex_app.api.factory import create_app
    from pageindex_app.base.settings import Settings
    from waiting import indexed

    SAMPLES = ROOT / "samples"

    @pytest.fixture(scope="session")
    def samples() -> Path:
        return SAMPLES

    @pytest.fixture
    def model() -> Iterator[FakeModel]:
        with fake_model() as served:
            yield served

    @pytest.fixture
    def settings(model: FakeModel, tmp_path: Path) -> Settings:
        return settings_for(model, tmp_path)

    def settings_for(model: FakeModel, folder: Path, **more: object) -> Settings:
        key_file = folder / "key"
        key_file.write_text(KEY + "\n")
        return Settings(vllm_base_url=model.url, vllm_api_key_file=key_file, data_dir=folder / "data", **more)  # type: ignore[arg-type]

    @pytest.fixture(scope="session")
    def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TestClient, FakeModel]]:
        """One app for all tests that leave it as they found it: starting an index worker takes seconds."""
        with fake_model() as served:
            settings = settings_for(served, tmp_path_factory.mktemp("shared"), max_upload_mib=2, max_pages=40)
            with TestClient(create_app(settings)) as client:
                for name in ("harbour-report-2025.pdf", "tide-buoy-manual.md"):
                    document = indexed(client, name, (SAMPLES / name).read_bytes())
                    assert document["status"] == "ready", document
                yield client, served

    @pytest.fixture
    def client(shared: tuple[TestClient, FakeModel]) -> Iterator[TestClient]:
        client, served = shared
        yield client
        served.answer, served.failing, served.delay_s = None, None, 0.0

    @pytest.fixture
    def shared_model(shared: tuple[TestClient, FakeModel]) -> FakeModel:
        return shared[1]

    @pytest.fixture
    def app(settings: Settings) -> Iterator[TestClient]:
        """An app of the test's own, with an empty library."""
        with TestClient(create_app(settings)) as own:
            yield own

    @pytest.fixture
    def harbour(client: TestClient) -> str:
        found = [d["id"] for d in client.get("/api/documents").json()["documents"] if d["kind"] == "pdf"]
        return str(found[0])
