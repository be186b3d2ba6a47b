"""What bench/run is made of, a file a part:

launch   starts the programs of a build and reads their figures
noise    tells which samples others disturbed
rows     what is measured, beside what, and the goals
floors   the same patterns by libdsm and by everything else
curves   figures against the number of nodes
table    Markdown
draw     the curves as SVG
"""
