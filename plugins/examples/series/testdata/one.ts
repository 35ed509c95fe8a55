#Made up: two dimensions, unequal lengths, gaps and a missing class.
@problemName Made
@timeStamps false
@missing true
@univariate false
@dimensions 2
@equalLength false
@classLabel true walk rest
@data
1,2,3,4:10,20,30,40:walk
