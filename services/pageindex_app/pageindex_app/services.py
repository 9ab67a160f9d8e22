"""The parts of the app, built once from the settings and given to whoever needs them."""

from dataclasses import dataclass

from .answering.agent import Agent
from .answering.conversations import Conversations
from .answering.questions import Questions
from .answering.strategy import Strategy
from .answering.two_step import TwoStep
from .base.metrics import Metrics
from .base.settings import Settings
from .documents.library import Library
from .documents.library_metrics import LibraryCollector
from .documents.page_images import PageImages
from .indexing.indexer import Indexer
from .model.client import ModelClient


@dataclass(frozen=True)
class Services:
    settings: Settings
    library: Library
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
        metrics = Metrics(LibraryCollector(library))
        model = ModelClient(settings, metrics)
        strategy: Strategy = (
            Agent(model, settings, library.pageindex_dir)
            if settings.answer_mode == "agent"
            else TwoStep(model, settings)
        )
        return cls(
            settings=settings,
            library=library,
            page_images=PageImages(settings, library),
            metrics=metrics,
            model=model,
            indexer=Indexer(settings, library, model, metrics),
            questions=Questions(library, strategy, metrics),
            conversations=Conversations(settings.data_dir),
        )
