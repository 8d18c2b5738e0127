
'use strict';
let busy=false,again=false;
async function look(){
  if(busy){again=true;return}
  busy=true;
  let fresh=false;
  try{
    const answer=await fetch('/',{headers:{accept:'text/html'}});
    const page=new DOMParser().parseFromString(await answer.text(),'text/html');
    const next=page.getElementById('rack');
    if(answer.ok&&next){
      const old=document.getElementById('rack');
      const open=[...old.querySelectorAll('details')].map(it=>it.open);
      next.querySelectorAll('details').forEach((it,index)=>{it.open=!!open[index]});
      old.replaceWith(next);
      fresh=true;
    }
  }catch(error){}
  document.documentElement.classList.toggle('stale',!fresh);
  // A rack in motion changes many times a second; nobody reads that fast.
  await new Promise(done=>setTimeout(done,2000));
  busy=false;
  if(again){again=false;look()}
}
const feed=new EventSource('/api/v1/events');
for(const kind of ['transition','cluster','task','repository','reset'])feed.addEventListener(kind,look);
feed.onopen=look;
feed.onerror=look;
setInterval(()=>{if(!document.hidden)look()},30000);
document.addEventListener('visibilitychange',()=>{if(!document.hidden)look()});
