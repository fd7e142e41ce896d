"""What to think of the facts: rule documents, detectors, and the judge that makes findings.

``ImageFacts`` and rule documents enter, ``Finding`` values leave.

    document    one YAML rule document, read strictly
    catalogue   all documents: those that come with imagescan, and a user's own
    conditions  ``when``: a CEL expression over an observation
    detectors/  pure functions from facts to observations
    blame       which layer caused it
    judge       observations to findings
    examples/   images written as YAML, and the proof of every document by them
"""
