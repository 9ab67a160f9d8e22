"""A document of one page, prepared for questions, and nodes for the trees of others."""

from pageindex_app.search.document_index import DocumentIndex


def node(title: str, start: int, end: int, *nodes: dict[str, object], **more: object) -> dict[str, object]:
    return {"title": title, "node_id": title, "start_index": start, "end_index": end, "nodes": list(nodes), **more}


def traffic_report() -> DocumentIndex:
    page = "2. Traffic\n2.1 Calls\nIn 2025 there were 1,204 ship calls.\n"
    page += "2.2 Cargo\nCommodity\nTonnes\nGrain\n1,310,000\n"
    tree = [node("2. Traffic", 1, 1, key_items=["2.1 Calls; 2.2 Cargo", "2.1 Calls", "2.2 Cargo"])]
    return DocumentIndex("doc-1", "report.pdf", [page], tree)
