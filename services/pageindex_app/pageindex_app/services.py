"""What the routes work with, built once from the settings."""

from dataclasses import dataclass

from .agent import Agent
from .answering import Strategy
from .indexing import Indexer
from .library import Library
from .model import ModelClient
from .questions import Questions
from .settings import Settings
from .two_step import TwoStep


@dataclass(frozen=True)
class Services:
    settings: Settings
    library: Library
    model: ModelClient
    indexer: Indexer
    questions: Questions

    @classmethod
    def build(cls, settings: Settings) -> "Services":
        """Nothing is started or read yet."""
        library = Library(settings.data_dir)
        model = ModelClient(settings)
        strategy: Strategy = (
            Agent(settings, library.pageindex_dir) if settings.answer_mode == "agent" else TwoStep(model, settings)
        )
        return cls(settings, library, model, Indexer(settings, library, model), Questions(library, strategy))
