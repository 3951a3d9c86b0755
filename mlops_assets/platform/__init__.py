"""The platform: what every pipeline needs to get data audited, versioned, published and followed. It knows no domain.

``contracts`` says what a table holds, ``lake`` keeps tables, ``audit`` judges rows against a contract, ``assets`` makes
Dagster assets of all that; ``security`` holds keys and tokens, ``exports`` hands tables and models to the service. Put
here what any team's data could use. Keep out anything about voters, districts or elections.
"""
