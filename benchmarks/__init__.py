"""How fast imagescan is, against the physical limit and its peers; ``docs/performance.md`` explains."""
