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
?,2,?,4,5,?:0,0,0,0,0,1:rest
?,?,?:1,2,3:walk
1,1,1:2,2,2:?
