"""What the routes work with, built once from the settings."""

from dataclasses import dataclass

from .agent import Agent
from .answering import Strategy
from .conversations import Conversations
from .indexing import Indexer
from .library import Library
from .library_search import LibrarySearch
from .metrics import Metrics
from .model import ModelClient
from .page_images import PageImages
from .questions import Questions
from .settings import Settings
from .two_step import TwoStep


@dataclass(frozen=True)
class Services:
    settings: Settings
    library: Library
    library_search: LibrarySearch
    page_images: PageImages
    metrics: Metrics
    model: ModelClient
    indexer: Indexer
    questions: Questions
    conversations: Conversations

    @classmethod
    def build(cls, settings: Settings) -> "Services":
        """Nothing is started or read yet."""
        library = Library(settings)
        metrics = Metrics(library)
        model = ModelClient(settings, metrics)
        strategy: Strategy = (
            Agent(model, settings, library.pageindex_dir)
            if settings.answer_mode == "agent"
            else TwoStep(model, settings)
        )
        return cls(
            settings=settings,
            library=library,
            library_search=LibrarySearch(library),
            page_images=PageImages(settings, library),
            metrics=metrics,
            model=model,
            indexer=Indexer(settings, library, model, metrics),
            questions=Questions(library, strategy, metrics),
            conversations=Conversations(settings.data_dir),
        )
