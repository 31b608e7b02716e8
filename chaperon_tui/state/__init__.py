"""What the screens show, as plain data: no Textual, no terminal, no process.

`RunStore` folds the snapshots of a run; the other modules make texts, tables and chart data of it
and of reports, plans and forms. Every text that we did not write passes `visible` here.
"""
